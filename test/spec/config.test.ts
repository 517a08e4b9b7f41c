import assert from "node:assert/strict";
import { test } from "node:test";
import { type ErrorCode, NexusError, SpecError } from "../../src/base/errors.ts";
import { type Config, configFiles, defaultConfig, placesOf } from "../../src/spec/config.ts";
import { parseConfig } from "../../src/spec/config-file.ts";
import { ownSocketPaths, systemSocketPath } from "../../src/spec/places.ts";
import { jsonSchemas } from "../../src/spec/schemas.ts";
import { parseSetting, settingKeys, settingOf, withSettings } from "../../src/spec/settings.ts";

const defaults: Config = {
  network: { bridge_name: "nexus0" as never, subnet: "10.0.42.0/24" as never, dns_servers: [] },
  socket_group: "nexus",
  hosts_file: "off",
  log_level: "info",
  dns: { upstreams: [], domain: "nexus" },
  sandbox: { rootfs: "host", rootfs_amd64: "none", rootfs_arm64: "none" },
};

test("without a file, with an empty one and with an empty block, the network is nexus0 with 10.0.42.0/24", () => {
  assert.deepEqual(defaultConfig(), defaults);
  for (const text of ["", "# nothing\n", "network: {}\n"]) assert.deepEqual(parseConfig(text, "nexus.yaml"), defaults);
});

test("the network block with bridge, subnet and resolvers is read as it is documented", () => {
  const text = 'network:\n  bridge_name: "nexbr0"\n  subnet: "172.16.0.0/12"\n  dns_servers:\n    - "8.8.8.8"\n    - "1.1.1.1"\n';
  assert.deepEqual(parseConfig(text, "nexus.yaml").network, {
    bridge_name: "nexbr0",
    subnet: "172.16.0.0/12",
    dns_servers: ["8.8.8.8", "1.1.1.1"],
  });
  assert.equal(parseConfig("network: {subnet: auto}", "f").network.subnet, "auto");
});

test("wrong values are told with their place and what was meant", () => {
  const text =
    "network:\n  bridge_nam: x\n  subnet: 10.0.42.1/24\nlog_level: verbose\nsocket: run/x.sock\nstate-dir: /x\ndns: {domain: No.Way}\n";
  assert.throws(
    () => parseConfig(text, "nexus.yaml"),
    (error) => {
      assert.ok(error instanceof SpecError);
      assert.deepEqual(error.message.split("\n"), [
        "nexus.yaml:2:3: network.bridge_nam: unknown key (did you mean bridge_name?)",
        'nexus.yaml:3:11: network.subnet: "10.0.42.1/24" has bits set below its mask; did you mean 10.0.42.0/24?',
        'nexus.yaml:4:12: log_level: must be "debug", "info", "warn" or "error", not "verbose"',
        "nexus.yaml:5:9: socket: must be a path that starts with /",
        "nexus.yaml:6:1: state-dir: unknown key (did you mean state_dir?)",
        "nexus.yaml:7:15: dns.domain: is no domain: labels of lower-case letters, digits and -, with dots between",
      ]);
      return true;
    },
  );
  assert.throws(() => parseConfig(`socket: /${"x".repeat(107)}`, "f"), /107 bytes/);
});

test("root's files are under /etc, /var/lib and /run, a user's in its own directories", () => {
  const root = { uid: 0, env: { HOME: "/root" } };
  const user = { uid: 1000, env: { HOME: "/home/u", XDG_RUNTIME_DIR: "/run/user/1000" } };
  assert.deepEqual(configFiles(root), ["/etc/nexus/nexus.yaml", "/root/.config/nexus/nexus.yaml"]);
  assert.deepEqual(configFiles(user), ["/home/u/.config/nexus/nexus.yaml", "/etc/nexus/nexus.yaml"]);
  assert.deepEqual(configFiles({ uid: 0, env: {} }), ["/etc/nexus/nexus.yaml"]);
  const ofRoot = { stateDir: "/var/lib/nexus", runDir: "/run/nexus", cacheDir: "/var/cache/nexus", socket: "/run/nexus/nexusd.sock" };
  assert.deepEqual(placesOf({}, root), ofRoot);
  assert.equal(ofRoot.socket, systemSocketPath);
  assert.deepEqual(placesOf({}, user), {
    stateDir: "/home/u/.local/state/nexus",
    runDir: "/run/user/1000/nexus",
    cacheDir: "/home/u/.cache/nexus",
    socket: "/run/user/1000/nexus/nexusd.sock",
  });
  const set = placesOf({ state_dir: "/s", run_dir: "/r", socket: "/k" }, { uid: 0, env: { NEXUS_CACHE_DIR: "/c/" } });
  assert.deepEqual(set, { stateDir: "/s", runDir: "/r", cacheDir: "/c", socket: "/k" });
});

test("a user's daemon is found from sessions that are told different things", () => {
  const home = { HOME: "/home/u" };
  const fallback = "/home/u/.local/state/nexus/run/nexusd.sock";
  assert.equal(placesOf({}, { uid: 7, env: home }).socket, fallback);
  assert.deepEqual(ownSocketPaths({ uid: 7, env: home }), [fallback, "/run/user/7/nexus/nexusd.sock"]);
  assert.deepEqual(ownSocketPaths({ uid: 7, env: { ...home, XDG_RUNTIME_DIR: "/x/" } }), ["/x/nexus/nexusd.sock", fallback]);
  const relative = { ...home, XDG_RUNTIME_DIR: "x", XDG_STATE_HOME: "", XDG_CACHE_HOME: "./c", NEXUS_CACHE_DIR: "c" };
  assert.deepEqual(placesOf({}, { uid: 7, env: relative }), placesOf({}, { uid: 7, env: home }));
});

test("a setting goes over the file, and is refused like the file would be", () => {
  const stored = new Map(
    [parseSetting("network.dns_servers", "9.9.9.9, 1.1.1.1"), parseSetting("log_level", "debug")].map(({ key, value }) => [
      key as string,
      value,
    ]),
  );
  const merged = withSettings(defaultConfig(), stored);
  assert.deepEqual(merged, { ...defaults, log_level: "debug", network: { ...defaults.network, dns_servers: ["9.9.9.9", "1.1.1.1"] } });
  assert.deepEqual(settingOf(merged, "network.dns_servers"), ["9.9.9.9", "1.1.1.1"]);
  for (const key of Object.keys(settingKeys)) assert.notEqual(settingOf(defaultConfig(), key), undefined, key);
  assert.deepEqual(parseSetting("dns.upstreams", "").value, []);
  assert.deepEqual(parseSetting("dns.upstreams", ["1.1.1.1"]).value, ["1.1.1.1"]);
  fails(() => parseSetting("log_level", 5), "spec-invalid", /log_level/);
  fails(() => parseSetting("network.subnet", "10.0.0.1/8"), "spec-invalid", /network\.subnet: .*did you mean 10\.0\.0\.0\/8/);
  fails(() => parseSetting("network.dns_server", "1.1.1.1"), "not-found", /no setting network\.dns_server/);
  fails(() => parseSetting("__proto__", "x"), "not-found", /no setting/);
  fails(() => withSettings(defaultConfig(), new Map([["log_level", "loud"]])), "spec-invalid", /log_level/);
});

test("the JSON Schemas are plain JSON, the same each time, and closed", () => {
  const first = jsonSchemas();
  assert.deepEqual(JSON.parse(JSON.stringify(first)), first);
  assert.deepEqual(jsonSchemas(), first);
  for (const schema of Object.values(first)) {
    assert.equal(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert.equal(schema["additionalProperties"], false);
  }
  assert.deepEqual(first.network["required"], ["name"]);
  assert.deepEqual(Object.keys(first.config["properties"] as object), [
    "network",
    "state_dir",
    "run_dir",
    "socket",
    "socket_group",
    "hosts_file",
    "log_level",
    "dns",
    "sandbox",
  ]);
});

function fails(work: () => unknown, code: ErrorCode, words: RegExp): void {
  assert.throws(work, (error) => error instanceof NexusError && error.code === code && words.test(error.message));
}
