import assert from "node:assert/strict";
import { test } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { Settings } from "../../src/daemon/settings.ts";
import { parseConfig } from "../../src/spec/config-file.ts";
import { openState, temporaryDirectory } from "../state/sample.ts";

const source = { file: "nexus.yaml", config: parseConfig("log_level: warn\n", "nexus.yaml") };

test("a setting says what it means and where it comes from, and one forgotten is the file's or the default again", () => {
  using directory = temporaryDirectory();
  using state = openState(directory.path);
  const settings = new Settings(source, state.settings);
  const origin = (key: string) => [settings.get(key).value, settings.get(key).source];
  assert.deepEqual(
    [origin("log_level"), origin("dns.domain")],
    [
      ["warn", "file"],
      ["nexus", "default"],
    ],
  );
  settings.set("log_level", "debug");
  settings.set("dns.domain", "lab");
  assert.deepEqual(
    [origin("log_level"), origin("dns.domain")],
    [
      ["debug", "stored"],
      ["lab", "stored"],
    ],
  );
  assert.deepEqual([settings.unset("log_level").value, settings.unset("dns.domain").value], ["warn", "nexus"]);
  assert.deepEqual(
    [origin("log_level"), origin("dns.domain")],
    [
      ["warn", "file"],
      ["nexus", "default"],
    ],
  );
  assert.equal(settings.config.log_level, "warn");
  assert.equal(settings.unset("log_level").source, "file");
  assert.deepEqual(new Settings(source, state.settings).all(), settings.all());
  for (const { key, summary } of settings.all()) assert.ok((summary?.length ?? 0) > 10, key);
  assert.throws(
    () => settings.unset("log"),
    (error) => error instanceof NexusError && error.code === "not-found",
  );
});

test("a change that a check refuses is not made, nor stored", () => {
  using directory = temporaryDirectory();
  using state = openState(directory.path);
  const settings = new Settings(source, state.settings);
  settings.vet(({ sandbox }, key) => {
    if (key.startsWith("sandbox.") && sandbox.rootfs === "/nowhere") throw new NexusError("image-missing", "nowhere");
  });
  assert.throws(() => settings.set("sandbox.rootfs", "/nowhere"), /nowhere/);
  assert.deepEqual([settings.get("sandbox.rootfs").value, settings.get("sandbox.rootfs").source], ["host", "default"]);
  assert.equal(settings.set("sandbox.rootfs", "/srv/root").source, "stored");
  assert.equal(settings.config.sandbox.rootfs, "/srv/root");
  const fromFile = new Settings({ file: "f", config: parseConfig("sandbox: {rootfs: /nowhere}", "f") }, state.settings);
  fromFile.vet(({ sandbox }) => assert.notEqual(sandbox.rootfs, "/nowhere"));
  assert.throws(() => fromFile.unset("sandbox.rootfs"));
  assert.equal(fromFile.config.sandbox.rootfs, "/srv/root");
});
