import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NexusError } from "../../src/base/errors.ts";
import { parseDisk, parseDuration, parseEnv, parseMemory, parseNetworkRef, parsePublish, parseTmpfs } from "../../src/spec/flags.ts";
import { publishSpec } from "../../src/spec/node.ts";

test("a publish has an optional host address, ports or ranges of one width, and an optional protocol", () => {
  const good: Record<string, object> = {
    "8080:80": { protocol: "tcp", hostPort: 8080, guestPort: 80 },
    "8080:80/tcp": { protocol: "tcp", hostPort: 8080, guestPort: 80 },
    "127.0.0.1:53:53/udp": { protocol: "udp", hostAddress: "127.0.0.1", hostPort: 53, guestPort: 53 },
    "[::1]:80:81": { protocol: "tcp", hostAddress: "::1", hostPort: 80, guestPort: 81 },
    "[FD00:0::1]:80:81/udp": { protocol: "udp", hostAddress: "fd00::1", hostPort: 80, guestPort: 81 },
    "10000-10010:20000-20010": { protocol: "tcp", hostPort: 10000, hostPortEnd: 10010, guestPort: 20000 },
    "0.0.0.0:1-2:1-2": { protocol: "tcp", hostAddress: "0.0.0.0", hostPort: 1, hostPortEnd: 2, guestPort: 1 },
    "7-7:9": { protocol: "tcp", hostPort: 7, guestPort: 9 },
  };
  for (const [text, expected] of Object.entries(good)) {
    assert.deepEqual(parsePublish(text), expected, text);
    assert.deepEqual(publishSpec.parse(parsePublish(text)), expected, "the specification takes it as it is");
  }
});

test("a wrong publish is told what is wrong, and the right form", () => {
  const bad: Record<string, RegExp> = {
    "": /guest's port is missing/,
    "80": /guest's port is missing/,
    "80:": /guest port is missing/,
    ":80": /host port is missing/,
    "80:80/sctp": /tcp or udp, not "sctp"/,
    "80:80/": /tcp or udp/,
    "0:80": /"0" is no host port/,
    "80:65536": /"65536" is no guest port/,
    "a:80": /"a" is no host port/,
    "080:80": /no host port/,
    "20-10:20-10": /range 20-10 ends before it starts/,
    "1-2-3:1": /no host port/,
    "10-20:10": /11 host ports cannot go to 1 guest port/,
    "10:10-20": /1 host port cannot go to 11 guest ports/,
    "localhost:80:80": /"localhost" is not an IP address/,
    "::1:80:80": /IPv6 address needs brackets/,
    "[::1:80:80": /the \]/,
    "[::1]": /the \]/,
    "[::1]:80": /guest's port is missing/,
    "[127.0.0.1]:80:80": /only an IPv6 address stands in brackets/,
    "[x]:80:80": /"x" is not an IP address/,
    "80 :80": /no host port/,
  };
  for (const [text, words] of Object.entries(bad)) refuses(() => parsePublish(text), words, /\[ADDRESS:\]HOST:GUEST/);
});

test("a disk is named after its volume or file, but never as one the machine has anyway", () => {
  assert.deepEqual(parseDisk("data:10G"), { name: "data", source: "data", size: "10G" });
  assert.deepEqual(parseDisk("./Rooted.qcow2"), { name: "rooted", source: "./Rooted.qcow2" });
  for (const text of ["root", "root:1G", "/srv/ROOT.img", "./cidata.iso"])
    refuses(
      () => parseDisk(text),
      /the guest has a disk called (root|cidata) already; the volume or file needs another name/,
      /VOLUME:SIZE/,
    );
});

test("a directory in memory is a path, and options after a colon", () => {
  assert.deepEqual(parseTmpfs("/run"), { target: "/run", readOnly: false, exec: false });
  assert.deepEqual(parseTmpfs("/t:size=64M,mode=700,uid=1,gid=2,ro,exec"), {
    target: "/t",
    readOnly: true,
    exec: true,
    size: 64 * 1024 ** 2,
    mode: "700",
    uid: 1,
    gid: 2,
  });
  const bad: Record<string, RegExp> = {
    "": /"" is no absolute path/,
    "/": /"\/" is no absolute path/,
    "run:size=1M": /"run" is no absolute/,
    "/run:": /"" is none of its options/,
    "/run:size": /"size" is none/,
    "/run:size=50%": /"50%" is no size/,
    "/run:uid=x": /"uid=x" is none/,
    "/run:suid": /"suid" is none/,
    "/run:ro=1": /"ro=1" is none/,
  };
  for (const [text, words] of Object.entries(bad)) refuses(() => parseTmpfs(text), words, /PATH:OPTIONS/);
});

test("a network is a name with at most one address of each family", () => {
  assert.deepEqual(parseNetworkRef("blue"), { network: "blue" });
  assert.deepEqual(parseNetworkRef("blue:10.0.0.5"), { network: "blue", address: "10.0.0.5" });
  for (const text of ["blue:fd00::5", "blue:[fd00::5]"]) assert.deepEqual(parseNetworkRef(text), { network: "blue", address6: "fd00::5" });
  assert.deepEqual(parseNetworkRef("blue:10.0.0.5,[fd00::5]"), { network: "blue", address: "10.0.0.5", address6: "fd00::5" });
  const bad: Record<string, RegExp> = {
    "": /cannot be empty/,
    Blue: /no name/,
    "blue:": /"" is not an IP address/,
    "blue:10.0.0": /"10\.0\.0" is not/,
    "blue:10.0.0.1,10.0.0.2": /two IPv4 addresses/,
    "blue:fd00::1,fd00::2": /two IPv6 addresses/,
  };
  for (const [text, words] of Object.entries(bad)) refuses(() => parseNetworkRef(text), words, /NETWORK\[:ADDRESS\]/);
});

test("a variable is split at the first =", () => {
  assert.deepEqual(parseEnv("A=b"), ["A", "b"]);
  assert.deepEqual(parseEnv("_A1=b=c"), ["_A1", "b=c"]);
  assert.deepEqual(parseEnv("A="), ["A", ""]);
  for (const [text, words] of Object.entries({
    A: /= is missing/,
    "=b": /no variable name/,
    "1A=b": /no variable name/,
    "A B=c": /no variable name/,
  }))
    refuses(() => parseEnv(text), words, /KEY=VALUE/);
});

test("memory is MiB, or a number with a unit", () => {
  for (const [text, mebibytes] of Object.entries({
    "256": 256,
    "256M": 256,
    "256m": 256,
    "256MiB": 256,
    "256MB": 256,
    "1G": 1024,
    "1.5g": 1536,
    "1 GiB": 1024,
    "2T": 2097152,
    "0.5G": 512,
  }))
    assert.equal(parseMemory(text), mebibytes, text);
  for (const [text, words] of Object.entries({
    "": /no amount/,
    M: /no amount/,
    "-1": /no amount/,
    "256K": /no amount/,
    "256b": /no amount/,
    "1e3": /no amount/,
    "0": /more than zero/,
    "0.5": /no whole number/,
    "1.3G": /no whole number/,
  })) {
    refuses(() => parseMemory(text), words, /256, 256M, 1G/);
  }
});

test("a duration is seconds, or numbers with units", () => {
  for (const [text, milliseconds] of Object.entries({
    "0": 0,
    "10": 10_000,
    "90s": 90_000,
    "500ms": 500,
    "5m": 300_000,
    "1h30m": 5_400_000,
    "2d": 172_800_000,
  }))
    assert.equal(parseDuration("--wait", text), milliseconds, text);
  for (const text of ["", "m", "-5", "5 m", "5x", "1.5h", "5m3"])
    refuses(() => parseDuration("--wait", text), /^--wait ".*": it is no duration/, /1h30m/);
});

test("any text gives a value or a usage error, nothing else", () => {
  const piece = fc.constantFrom("80", ":", "-", "[", "]", "/", "udp", "::1", "1.2.3.4", "blue", ",", "=", "G", "m", " ", "0", "\n");
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece, { maxLength: 10 }).map((parts) => parts.join("")),
      ),
      (text) => {
        for (const parse of [
          parsePublish,
          parseNetworkRef,
          parseEnv,
          parseMemory,
          (one: string) => parseDuration("--wait", one),
          parseTmpfs,
        ]) {
          try {
            const value: unknown = parse(text);
            if (parse === parsePublish) publishSpec.parse(value);
          } catch (error) {
            assert.ok(error instanceof NexusError && error.code === "usage" && error.hint !== undefined, String(error));
          }
        }
      },
    ),
    { numRuns: 3000 },
  );
});

function refuses(work: () => unknown, words: RegExp, form: RegExp): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof NexusError && error.code === "usage", String(error));
    assert.match(error.message, words);
    assert.match(error.hint ?? "", form);
    return true;
  });
}
