import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { globalFlags } from "../../src/cli/command.ts";
import { commands } from "../../src/cli/commands.ts";
import { helpText } from "../../src/cli/help.ts";
import { parseCommandLine, type Parsed } from "../../src/cli/parse.ts";
import { NexusError } from "../../src/base/errors.ts";

const parse = (line: string): Parsed => {
  const parsed = parseCommandLine(line.split(" "), commands);
  if (parsed.kind !== "command") return assert.fail(line);
  return parsed;
};
const refused = (line: string, message: RegExp, hint?: RegExp) =>
  assert.throws(
    () => parseCommandLine(line.split(" "), commands),
    (error: unknown) =>
      error instanceof NexusError &&
      error.code === "usage" &&
      message.test(error.message) &&
      (hint === undefined || hint.test(error.hint ?? "")),
    line,
  );

describe("a command line", () => {
  it("takes flags before, between and after arguments, in every usual form", () => {
    const { args, flags, rest } = parse(
      "node create -m 256 web --cpu=512 --network lan:10.0.0.5 --network b -p 80:80 --env A=b=c -- httpd -f -- x",
    );
    assert.deepEqual(args, new Map([["NAME", "web"]]));
    assert.deepEqual(Object.fromEntries(flags), {
      mem: ["256"],
      cpu: ["512"],
      network: ["lan:10.0.0.5", "b"],
      publish: ["80:80"],
      env: ["A=b=c"],
    });
    assert.deepEqual(rest, ["httpd", "-f", "--", "x"]);
  });

  it("leaves a command to run its own flags from its first word on", () => {
    const { flags, rest } = parse("node exec -it web -e A=1 ls -la --json");
    assert.deepEqual(rest, ["ls", "-la", "--json"]);
    assert.deepEqual([...flags.keys()], ["interactive", "tty", "env"]);
    assert.deepEqual(parse("node exec web -- -x").rest, ["-x"]);
  });

  it("takes several names with flags among them", () => {
    const { args, rest, flags } = parse("node rm a b --force c");
    assert.deepEqual([args.get("NAME"), rest, flags.has("force")], ["a", ["b", "c"], true]);
  });

  it("takes a name as an argument, as --name, or as both when they agree", () => {
    for (const line of ["vm start web", "vm start --name web", "vm start --name=web"])
      assert.deepEqual([parse(line).args.get("NAME"), parse(line).rest], ["web", []], line);
    for (const line of ["vm start a b", "vm start --name a --name b", "vm start a --name b"])
      assert.deepEqual([parse(line).args.get("NAME"), parse(line).rest], ["a", ["b"]], line);
    assert.equal(parse("vm create --name web --mem 128").args.get("NAME"), "web");
    assert.equal(parse("vm inspect web --name web").args.get("NAME"), "web");
    refused("vm inspect web --name db", /two names are given, web and db/, /for example: nexus vm inspect/);
    refused("vm create --name a --name b", /--name is given twice/);
    refused("vm start", /NAME is missing/);
    refused("vm start --name", /--name needs a value/);
  });

  it("takes global flags before the command as well", () => {
    const { command, flags } = parse("--json --socket /x node --no-start ls");
    assert.equal(command.path, "node ls");
    assert.deepEqual(Object.fromEntries(flags), { json: [""], socket: ["/x"], "no-start": [""] });
  });

  it("takes --version for the command of that name", () => {
    assert.equal(parse("--version").command.path, "version");
    assert.equal(parse("--json --version").command.path, "version");
  });

  it("takes the daemon's flags with one dash", () => {
    assert.deepEqual(Object.fromEntries(parse("daemon -config f.yaml -doctor --state-dir=/s").flags), {
      config: ["f.yaml"],
      doctor: [""],
      "state-dir": ["/s"],
    });
    assert.equal(parse("daemon start").command.path, "daemon start");
  });

  it("is refused with what would be right", () => {
    refused("nodes ls", /unknown command "nodes"/, /nexus node`/);
    refused("node lss", /unknown command "lss"/, /node ls`/);
    refused("node create web --mum 3", /unknown flag --mum/, /--mem/);
    refused("network create lan --sub 10.0.0.0/24", /unknown flag --sub/, /--subnet/);
    refused("network set lan --no-nat", /unknown flag --no-nat/, /did you mean --nat\?/);
    refused("net ls", /^nexus: unknown command "net"/, /nexus network`/);
    refused("node create web --mem", /--mem needs a value/);
    refused("node create web --mem 1 --mem 2", /given twice/);
    refused("node ls --json=yes", /takes no value/);
    refused("node inspect", /NAME is missing/, /nexus node inspect web/);
    refused("node inspect a b", /too many arguments: "b"/);
    refused("run id", /"id": a command follows --/, /nexus run .* -- curl/);
    refused("run --output-limit -- id", /--output-limit needs a value/);
    refused("node exec -z web", /unknown flag -z/);
    refused("frobnicate", /unknown command/, /--help/);
  });

  it("gives a command or a usage error, whatever the words are", () => {
    const known = [
      ...new Set(
        commands
          .flatMap((c) => c.path.split(" "))
          .concat(
            commands.flatMap((c) => (c.flags ?? []).map((f) => `--${f.name}`)),
            "--",
            "-",
            "-1",
            "--json",
            "help",
          ),
      ),
    ];
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...known), fc.string({ maxLength: 6 })), { maxLength: 8 }), (words) => {
        try {
          parseCommandLine(words, commands);
        } catch (error) {
          assert.ok(error instanceof NexusError && error.code === "usage", String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("the command table", () => {
  it("has an example for each command that is itself understood", () => {
    for (const command of commands) {
      if (command.path === "completion") continue;
      const [program, ...words] = command.example.split(" ");
      const parsed = parseCommandLine(program === "nexusd" ? ["daemon", ...words] : words, commands);
      assert.equal(parsed.kind === "command" && parsed.command.path, command.path, command.example);
    }
  });

  it("has no flag twice in one command, and no name that hides a global flag", () => {
    for (const command of commands) {
      const names = [...(command.flags ?? []), ...globalFlags].flatMap((f) => [f.name, ...(f.short === undefined ? [] : [`-${f.short}`])]);
      assert.equal(new Set(names).size, names.length, `${command.path}: ${names.join(" ")}`);
    }
  });

  it("has help that shows every command, every flag and the example", () => {
    const overview = helpText("", commands);
    for (const command of commands) {
      if (command.hidden === true) continue;
      assert.ok(overview.includes(`  ${command.path} `), command.path);
      const own = helpText(command.path, commands);
      assert.ok(own.includes(command.example));
      for (const flag of command.flags ?? []) assert.ok(own.includes(`--${flag.name}`), `${command.path} --${flag.name}`);
    }
    assert.ok(!overview.includes("__complete"));
    assert.match(helpText("node", commands), /node exec/);
  });
});
