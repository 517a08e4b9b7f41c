import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { resolvedText } from "../../../src/spec/compose/resolved.ts";
import { stringify } from "yaml";
import { load, loadAll } from "./load-text.ts";

const again = (text: string, given = {}): void => {
  const project = load(text, given);
  const resolved = loadAll(resolvedText(project), given);
  assert.deepEqual(resolved.project, project);
  assert.deepEqual(resolved.warnings, []);
};

const word = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/);
const anyText = fc.oneof(
  fc.string(),
  fc.string(),
  fc.constantFrom("$X", "$$", "a\nb\n", " #x", "---", "null", "1.0", "\r\n", "\t", "é\u2028"),
);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const port = fc.integer({ min: 1, max: 65535 });
const target = word.map((name) => `/m/${name}`);
const shared = {
  environment: maybe(fc.dictionary(fc.stringMatching(/^[A-Z][A-Z0-9_]{0,4}$/), anyText)),
  hostname: maybe(word),
  restart: maybe(fc.constantFrom("no", "on-failure", "on-failure:3", "always", "unless-stopped")),
  dns: maybe(fc.array(fc.ipV4(), { maxLength: 3 })),
  profiles: maybe(fc.array(word, { maxLength: 2 })),
  labels: maybe(fc.dictionary(word, anyText)),
  aliases: maybe(fc.array(word, { maxLength: 2 })),
  stop_grace_period: maybe(fc.integer({ min: 1, max: 10000 }).map((ms) => `${ms}ms`)),
  healthcheck: maybe(
    fc.record({
      test: fc.oneof(
        fc.string({ minLength: 1 }),
        fc
          .array(fc.string({ minLength: 1 }), { minLength: 1 })
          .filter(([first]) => first !== "CMD" && first !== "NONE" && first !== "CMD-SHELL"),
      ),
      interval: fc.integer({ min: 100, max: 99999 }).map((ms) => `${ms}ms`),
    }),
  ),
  networks: maybe(fc.subarray(["front", "back"])),
  memory: maybe(fc.integer({ min: 64, max: 4096 })),
};
const vm = fc
  .record({
    ...shared,
    image: maybe(fc.constantFrom("debian-12", "./x.qcow2", "/abs.raw")),
    cpus: maybe(fc.integer({ min: 1, max: 8 })),
    disk: maybe(fc.constantFrom("10G", "512M", 4096)),
    user_data: maybe(anyText.map((text) => `#cloud-config\n${text}`)),
    provision: maybe(
      fc.array(
        fc.oneof(
          fc.record({ inline: anyText.map((text) => `: ${text}`) }),
          fc.record({ type: fc.constant("file"), target: fc.constant("/etc/x"), content: anyText }),
        ),
        { maxLength: 3 },
      ),
    ),
    volumes: maybe(
      fc.uniqueArray(
        fc.oneof(
          fc.record({
            source: fc.constantFrom("./a", "../b"),
            target,
            automount: fc.boolean(),
            read_only: fc.boolean(),
          }),
          fc.record({
            source: fc.constantFrom("my_data", "cache", "/dev/sdb", "/dev/sdc"),
            target,
            automount: fc.boolean(),
            read_only: fc.constant(true),
            mount_options: maybe(fc.constant("noatime")),
          }),
        ),
        { maxLength: 5, selector: (one) => one.target },
      ),
    ),
    kernel: maybe(fc.constant("./vmlinuz")),
    uefi: maybe(fc.boolean()),
    queues: maybe(fc.integer({ min: 1, max: 4 })),
  })
  // mini has no cloud-init.
  .map((made) => (made.user_data !== undefined && made.image === undefined ? { ...made, image: "debian-12" } : made));
const node = fc.record({
  ...shared,
  networks: maybe(fc.constant(["front", "back"])),
  command: maybe(fc.oneof(fc.array(anyText, { maxLength: 3 }), fc.constant("sh -c 'a b'"))),
  cpu: maybe(fc.integer({ min: 2, max: 1024 })),
  volumes: maybe(
    fc.uniqueArray(fc.record({ source: fc.constantFrom("./a", "logs"), target, read_only: fc.boolean() }), {
      maxLength: 3,
      selector: (one) => one.target,
    }),
  ),
  tmpfs: maybe(fc.constantFrom("/run", ["/t:size=64m,mode=755,uid=3,ro", "/u:exec,gid=4"])),
  ports: maybe(fc.uniqueArray(fc.record({ published: port, target: port }), { maxLength: 2, selector: (one) => one.published })),
});
const sandbox = fc
  .record({
    command: fc.oneof(
      fc.array(
        anyText.filter((text) => text !== ""),
        { minLength: 1, maxLength: 3 },
      ),
      fc.constant("sh -c 'a b'"),
    ),
    profile: maybe(fc.constantFrom("untrusted", "trusted")),
    root: maybe(fc.constantFrom("./root", "/abs", "mini")),
    net: maybe(fc.constantFrom("allowlist")),
    allow: maybe(fc.subarray(["a.example:443", "*.b.example:80"])),
    facility: maybe(fc.constantFrom("work", "./src", "/abs")),
    cwd: maybe(fc.constant("deep/er")),
    environment: shared.environment,
    timeout: maybe(fc.integer({ min: 1, max: 99999 }).map((ms) => `${ms}ms`)),
    stop_grace_period: shared.stop_grace_period,
    memory: shared.memory,
    cpus: maybe(fc.constantFrom(0.5, 2)),
    disk: maybe(fc.constantFrom("10G", 4096)),
    output_limit: maybe(fc.constantFrom("64K")),
    profiles: shared.profiles,
    labels: shared.labels,
  })
  .map(({ root, ...rest }) => (rest.profile === "trusted" ? { ...rest, image: root } : { ...rest, rootfs: root }));
const network = fc.record({
  mtu: maybe(fc.constantFrom("auto", 1400)),
  nat: maybe(fc.boolean()),
  internal: maybe(fc.boolean()),
  isolation: maybe(fc.constantFrom("none", "guests")),
  ipv6: maybe(fc.boolean()),
});
const file = fc.record({
  name: maybe(word),
  networks: fc.record({
    front: network.map((one) => ({ ...one, internal: undefined })),
    back: network.map((one) => ({ ...one, subnet: "10.3.0.0/16", peers: ["front"] })),
  }),
  volumes: fc.constant({ my_data: { size: "5G" }, cache: null, logs: null }),
  vms: fc.dictionary(fc.stringMatching(/^v[a-z]{1,3}$/), vm, { maxKeys: 3 }),
  nodes: fc.dictionary(fc.stringMatching(/^n[a-z]{1,3}$/), node, { maxKeys: 1 }),
  sandboxes: fc.dictionary(fc.stringMatching(/^s[a-z]{1,3}$/), sandbox, { maxKeys: 2 }),
});

describe("resolvedText", () => {
  it("loads to the same project, whatever the project", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(file, (value) => again(stringify(JSON.parse(JSON.stringify(value).replaceAll("$", "$$$$"))))),
      { numRuns: 60 },
    );
  });

  it("loads to the same project with everything a file can have", () => {
    const files = { "/p/demo/s.sh": "echo $HOME\n", "/p/demo/u": "no-newline", "/p/demo/e": "K='$v'\n" };
    const text = `
networks:
  a: {subnets: [{prefix: 10.0.0.0/24, gateway: 10.0.0.9, reserved: [10.0.0.64/26]}, 'fd00:1::/64'], bridge: br7, dns: [1.1.1.1]}
  b: {external: true, name: far}
  c: {name: own-name, peers: [a, b]}
volumes: {v: {external: true, name: theirs}, w.x: }
vms:
  one:
    networks: {a: {address: 10.0.0.5, address6: 'fd00:1::5', mac: '02:00:00:00:00:01', aliases: [x], queues: 4}, b: }
    ports: ["[::1]:80-81:90-91/udp", "0.0.0.0:22:22"]
    volumes: [./a:/a, v:/v, /dev/sdb, {source: ./b, target: /b, automount: false}, {source: w.x, target: /w, mount_options: 'a,b'}, "./c:/a-b", "./d:/a/b"]
    provision: [{script: s.sh}, {type: file, source: s.sh, target: /x, mode: "755"}]
    image: debian-12
    user_data: u
    cloud_init: {packages: [vim], ssh_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me]}
    env_file: e
    depends_on: {two: {condition: healthy}, gone: {required: false}}
  usermode: {ssh: {user: me, port: 2222}, machine: microvm, kernel: ./k, initrd: ./i, cmdline: 'a $$b', accel: tcg}
nodes:
  two: {healthcheck: {http: ':8080/x', start_period: 5s}, networks: {}, cpus: 0.5, pids: 10, volumes: [{type: bind, source: /dev/null, target: /n}], profiles: [p]}
  three: {healthcheck: {tcp: 5}, image: ~/root}
`.replace("gone: {required: false}", "three: {required: false}");
    again(text, { files, profiles: ["p"] });
    again(text.replace("profiles: [p]", "profiles: []"), { files });
  });

  it("shows the environment as it is, with dollar signs doubled", () => {
    assert.match(resolvedText(load("nodes: {web: {env: {SECRET: 'a$$b'}}}")), /SECRET: a\$\$b\n/);
  });
});
