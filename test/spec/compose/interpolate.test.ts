import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Budget } from "../../../src/spec/compose/budget.ts";
import { Faults } from "../../../src/spec/compose/faults.ts";
import { readDotenv } from "../../../src/spec/compose/dotenv.ts";
import { interpolate } from "../../../src/spec/compose/interpolate.ts";
import { splitWords } from "../../../src/spec/compose/words.ts";
import { faults, load, node } from "./load-text.ts";

const env = { A: "1", EMPTY: "", B: "two", _x9: "u" };
const variables = (name: string) => (Object.hasOwn(env, name) ? env[name as keyof typeof env] : undefined);

describe("interpolate", () => {
  // POSIX shell, 2.6.2 (the table), without the operators that assign or cut.
  const table: [text: string, result: string][] = [
    ["$A${B}!", "1two!"],
    ["$_x9-$A$A", "u-11"],
    ["$$A $$$A", "$A $1"],
    ["[${A:-x}${A-x}${A:+y}${A+y}${A:?m}${A?m}]", "[11yy11]"],
    ["[${EMPTY:-x}${EMPTY-x}${EMPTY:+y}${EMPTY+y}${EMPTY?m}]", "[xy]"],
    ["[${NO:-x}${NO-x}${NO:+y}${NO+y}]", "[xx]"],
    ["${NO:-${A:-z}-${NO:-${B}}}", "1-two"],
    ["${A:-${NO:?not taken}}", "1"],
    ["a } b { c", "a } b { c"],
    ["${NO:-a b:c/d}", "a b:c/d"],
  ];
  it("follows the shell", () => {
    for (const [text, result] of table) {
      const read = interpolate(text, variables);
      assert.deepEqual([read.text, read.faults], [result, []], text);
    }
  });

  it("tells what is wrong, where it begins", () => {
    const fault = (text: string) => interpolate(text, variables).faults.map(({ index, problem }) => `${index} ${problem}`);
    assert.deepEqual(fault("ab $ c"), ["3 no variable's name stands after $"]);
    assert.deepEqual(fault("${}"), ["0 no variable's name stands after ${"]);
    assert.deepEqual(fault("x${A"), ["1 the } after ${A is missing"]);
    assert.deepEqual(fault("x${A:-${B}"), ["1 the } after ${A is missing"]);
    assert.deepEqual(fault("${A#b} ${NO:?late}"), ["0 ${A#b} is not understood"]);
    assert.deepEqual(fault("${NO:?say ${B}}"), ["0 the variable NO is not set: say two"]);
    assert.deepEqual(fault("${EMPTY:?}"), ["0 the variable EMPTY is not set"]);
    assert.deepEqual(fault("${A:+${NO?taken}}"), ["5 the variable NO is not set: taken"]);
    assert.deepEqual(fault("${A:-".repeat(20)), ["80 variables stand within variables too deeply"]);
  });

  it("gives back any text whose dollar signs are doubled, and ends on any other", () => {
    fc.assert(fc.property(fc.string(), (text) => assert.equal(interpolate(text.replaceAll("$", "$$$$"), variables).text, text)));
    const piece = fc.constantFrom("$", "{", "}", "A", "NO", ":", "-", "?", "+", "${A:-", "${NO?", "x", " ");
    fc.assert(fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => void interpolate(pieces.join(""), variables)));
  });
});

describe("variables in a compose file", () => {
  it("are taken from the environment, then from .env, and stand in values only", () => {
    const files = { "/p/demo/.env": "# x\nTAG=from-file\nexport NAME='it is $TAG'\n" };
    const text = "nodes: {web: {image: 'r/$TAG', memory: '${MEM:-64}', environment: {$TAG: a}, command: [\"${NAME}\", $$TAG]}}";
    assert.deepEqual(faults(text, { files }), [
      "c.yaml:1:68: nodes.web.environment.$TAG: a variable name has letters, digits and _, and does not start with a digit",
    ]);
    const web = node(load(text.replace("$TAG: a", "X: a"), { files, env: { TAG: "mine" } })).spec;
    assert.deepEqual([web.image, web.mem, web.command], ["r/mine", 64, ["it is $TAG", "$TAG"]]);
    assert.equal(node(load(text.replace("$TAG: a", "X: a"), { files })).spec.image, "r/from-file");
  });

  it("have their own place in every kind of text", () => {
    const place = (text: string) => faults(text).map((line) => line.replace(/: .*/, ""));
    assert.deepEqual(place("nodes:\n  web:\n    image: ab${X?}\n"), ["c.yaml:3:14"]);
    assert.deepEqual(place('nodes:\n  web: {image: "a\\n$$ ${X?}"}\n'), ["c.yaml:2:23"]);
    assert.deepEqual(place("vms:\n  web:\n    provision:\n      - inline: | # $x\n          one $$\n          two ${X?}\n"), [
      "c.yaml:6:15",
    ]);
    assert.deepEqual(place("nodes:\n  web:\n    image: >-\n      a\n      b ${X?}\n"), ["c.yaml:5:9"]);
    assert.deepEqual(place('nodes: {web: {image: "\\x24{X?}"}}'), ["c.yaml:1:22"]);
  });

  it("are told as a fault of .env where that is wrong", () => {
    assert.deepEqual(faults("", { files: { "/p/demo/.env": "A=1\n B C\nX='open\n" } }), [
      ".env:2:2: is no NAME=value line (a name has letters, digits and _; # begins a comment)",
      ".env:3:1: the value of X has no closing quote",
    ]);
  });
});

describe("readDotenv", () => {
  const read = (text: string) => {
    const wrong = new Faults();
    const values = readDotenv(text, {
      source: { file: "e", directory: "/", order: 0 },
      variables,
      faults: wrong,
      budget: new Budget(wrong),
    });
    wrong.throwIfAny();
    return Object.fromEntries([...values].map(([name, value]) => [name, value.text]));
  };

  it("reads quotes, comments, variables, and values over several lines", () => {
    assert.deepEqual(
      read(
        [
          "\uFEFFP=plain text # comment",
          "H=a#b",
          "E=",
          "export Q='as $A is # so'",
          'D="\\t$A \\$A \\"x\\" \\q"',
          "M='one",
          "two'",
          "S = spaced ",
          "A",
          "NOT_SET",
          "LATER=${P}!",
          "C= # only a comment",
          "W=C:\\new",
        ].join("\r\n"),
      ),
      {
        P: "plain text",
        H: "a#b",
        E: "",
        Q: "as $A is # so",
        D: '\t1 $A "x" \\q',
        M: "one\ntwo",
        S: "spaced",
        A: "1",
        LATER: "plain text!",
        C: "",
        W: "C:\\new",
      },
    );
  });

  it("ends on any text with values or faults", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("A", "=", "'", '"', "\n", "\\", "$", "{", "}", "#", " ", "export "), { maxLength: 50 }),
        (pieces) => {
          const wrong = new Faults();
          readDotenv(pieces.join(""), {
            source: { file: "e", directory: "/", order: 0 },
            variables,
            faults: wrong,
            budget: new Budget(wrong),
          });
        },
      ),
    );
  });
});

describe("splitWords", () => {
  it("splits as a shell does and expands nothing", () => {
    assert.deepEqual(splitWords(`a  'b c' "d \\" e" f\\ g "" x'y'"z" \\$H`), ["a", "b c", 'd " e', "f g", "", "xyz", "$H"]);
    assert.deepEqual(splitWords(" \t\n"), []);
    assert.deepEqual(splitWords("a 'b"), { fault: "a ' is not closed" });
  });

  it("keeps every word that is quoted", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (words) =>
        assert.deepEqual(splitWords(words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ")), words),
      ),
    );
  });
});
