import assert from "node:assert/strict";
import { test } from "node:test";
import { commands } from "../../src/cli/commands.ts";
import { inWordsOf } from "../../src/cli/request-words.ts";
import { NexusError, SpecError } from "../../src/base/errors.ts";

const told = (command: string, path: string): string => {
  const found = commands.find((c) => c.path === command) ?? assert.fail(command);
  const error = inWordsOf(found, new SpecError([{ path, problem: "is wrong" }]));
  return error instanceof SpecError ? error.message.replace(/: is wrong$/, "") : assert.fail();
};

test("a fault of a request is told by the flag or argument it came from", () => {
  assert.equal(told("network create", "subnets[0]"), "--subnet");
  assert.equal(told("network create", "subnets[0].gateway"), "--gateway");
  assert.equal(told("network create", "subnets[0].reserved[1]"), "--reserved");
  assert.equal(told("network create", "peers[1]"), "--peer");
  assert.equal(told("network create", "name"), "NAME");
  assert.equal(told("network set", "path.name"), "NAME");
  assert.equal(told("network why", "query.to"), "TO");
  assert.equal(told("network why", "query.from"), "FROM");
  assert.equal(told("network why", "query.protocol"), "--protocol");
  assert.equal(told("node create", "name"), "NAME");
  assert.equal(told("node create", "networks[0].address"), "--network");
  assert.equal(told("node create", "publish[2].hostPort"), "--publish");
  assert.equal(told("node create", "env.mem"), "--env");
  assert.equal(told("node create", "cpu"), "--cpu");
  assert.equal(told("node create", "cpus"), "--cpus");
  assert.equal(told("node create", "command[0]"), "CMD");
  assert.equal(told("node exec", "cwd"), "--workdir");
  assert.equal(told("node stop", "query.grace"), "--grace");
  assert.equal(told("image pull", "reference"), "REF");
  assert.equal(told("image rm", "path.reference"), "REF");
  assert.equal(told("run", "net.allow[1]"), "--allow");
  assert.equal(told("run", "net.mode"), "--net");
  assert.equal(told("run", "cwd"), "--cwd");
  assert.equal(told("run", "timeoutMs"), "--timeout");
  assert.equal(told("run", "outputLimit"), "--output-limit");
  assert.equal(told("vm create", "sshPort"), "--ssh-port");
  assert.equal(told("vm create", "setup.userData"), "--user-data");
  assert.equal(told("run inspect", "path.id"), "ID");
});

test("what has no word on the command line, a place in a file, and other errors stay as they are", () => {
  assert.equal(told("node exec", "terminal.columns"), "terminal.columns");
  assert.equal(told("config set", "dns.upstreams[0]"), "dns.upstreams[0]");
  const command = commands.find((c) => c.path === "plan") ?? assert.fail();
  for (const error of [
    new SpecError([{ path: "file", problem: "p", place: "a.yaml:1:1" }]),
    new NexusError("usage", "u"),
    new Error("e"),
  ]) {
    assert.equal(inWordsOf(command, error), error);
  }
});
