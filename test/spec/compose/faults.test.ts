import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { faults } from "./load-text.ts";

/** Texts, and all that is told of each at once. */
describe("the faults of a compose file's parts", () => {
  it("what is no mapping where one is wanted", () => {
    assert.deepEqual(faults(["- a"].join("\n")), ["c.yaml:1:1: must be a mapping, not a list"]);
  });

  it("a mapping's members that are none", () => {
    assert.deepEqual(faults(["vms: {a: 5, b: [], c: {image: [x]}}"].join("\n")), [
      "c.yaml:1:10: vms.a: must be a mapping (write the keys of a below its name, further in)",
      "c.yaml:1:16: vms.b: must be a mapping (write the keys of b below its name, further in)",
      "c.yaml:1:31: vms.c.image: must be a string, not a list",
    ]);
  });

  it("a syntax fault at its place", () => {
    assert.deepEqual(faults(["vms:", "\ta: {}"].join("\n")), ["c.yaml:2:1: a tab cannot indent YAML (use spaces)"]);
  });

  it("a doubled key, an unknown tag, a circle of aliases, an alias of nothing", () => {
    assert.deepEqual(faults(["nodes: {a: {image: x, image: y}}"].join("\n")), ["c.yaml:1:23: this key stands here a second time"]);
    assert.deepEqual(faults(["vms: !x {}"].join("\n")), ["c.yaml:1:6: Unresolved tag: !x"]);
    assert.deepEqual(faults(["vms: {a: &a {b: *a}}"].join("\n")), ["c.yaml:1:1: has an alias (*name) inside what it names"]);
    assert.deepEqual(faults(["vms: *x"].join("\n")), ["c.yaml:1:1: uses the alias *x without its anchor"]);
    assert.deepEqual(faults(["vms: {a: {<<: [1]}}"].join("\n")), ["c.yaml:1:16: only mappings can be merged with <<"]);
  });

  it("keys of other tools, with what says the same here", () => {
    assert.deepEqual(
      faults(
        [
          "sandboxes:",
          "  a: 1",
          "containers: {}",
          "services: {}",
          "version: '3'",
          "nodes: {a: {build: ., container_name: x, network_mode: host, imag: y}}",
        ].join("\n"),
      ),
      [
        "c.yaml:2:6: sandboxes.a: must be a mapping (write the keys of a below its name, further in)",
        "c.yaml:3:1: containers: unknown key (containers stand under nodes)",
        "c.yaml:4:1: services: unknown key (containers stand under nodes, virtual machines under vms)",
        "c.yaml:5:1: version: unknown key (a file has no version; leave it out)",
        "c.yaml:6:13: nodes.a.build: unknown key (build the image beforehand and name it by image)",
        "c.yaml:6:23: nodes.a.container_name: unknown key (a guest is called PROJECT-NAME)",
        "c.yaml:6:42: nodes.a.network_mode: unknown key (name networks; a guest without any is on the project's default network)",
        "c.yaml:6:62: nodes.a.imag: unknown key (did you mean image?)",
      ],
    );
  });

  it("a key given under both its names", () => {
    assert.deepEqual(faults(["vms: {web: {cpu: 1, cpus: 2, env: {}, environment: []}}"].join("\n")), [
      "c.yaml:1:21: vms.web.cpus: says the same as cpu, which is given too",
      "c.yaml:1:39: vms.web.environment: says the same as env, which is given too",
    ]);
  });

  it("values of the wrong kind or size", () => {
    assert.deepEqual(
      faults(
        [
          "vms:",
          "  web:",
          "    memory: 2Q",
          "    disk: x",
          "    cpus: 1000",
          "    accel: fast",
          "    stop_grace_period: soon",
          "    uefi: yes",
          "    queues: '0'",
          "    dns: [8.8.8.8.8]",
          "    restart: on-failure:0",
          "    hostname: A",
          "    environment: {1a: x}",
        ].join("\n"),
      ),
      [
        'c.yaml:3:13: vms.web.memory: "2Q": it is no amount of memory; write MiB, or a number with M, G or T: 512, 512M, 2G',
        'c.yaml:4:11: vms.web.disk: "x": it is no size; write a whole number, with K, M, G or T: 512M, 10G',
        "c.yaml:5:11: vms.web.cpus: must be at most 255",
        'c.yaml:6:12: vms.web.accel: must be "auto", "kvm" or "tcg", not "fast"',
        'c.yaml:7:24: vms.web.stop_grace_period: "soon": it is no duration; write numbers with ms, s, m, h or d: 500ms, 10s, 1m30s',
        "c.yaml:8:11: vms.web.uefi: must be true or false",
        "c.yaml:9:13: vms.web.queues: must be at least 1",
        'c.yaml:10:11: vms.web.dns[0]: "8.8.8.8.8" is not an IP address',
        'c.yaml:11:14: vms.web.restart: must be "no", "on-failure", "always" or "unless-stopped" or "on-failure:" with a number of times, not "on-failure:0" (did you mean on-failure?)',
        'c.yaml:12:15: vms.web.hostname: "A" is no name; use lower-case letters, digits and "-", not at the ends',
        "c.yaml:13:19: vms.web.environment.1a: a variable name has letters, digits and _, and does not start with a digit",
      ],
    );
  });

  it("ports that say too little or too much", () => {
    assert.deepEqual(
      faults(
        [
          "vms:",
          "  web:",
          "    ports:",
          "      - '8080'",
          "      - 80",
          "      - '1:2:3:4'",
          "      - 80-81:90",
          "      - {target: 5}",
          "      - {published: 5}",
          "      - 5:6/sctp",
          "      - {target: 1, published: 2, host_ip: x}",
          "      - {hostPort: 1, guestPort: 2, guestPor: 2}",
        ].join("\n"),
      ),
      [
        'c.yaml:4:9: vms.web.ports[0]: "8080": the guest\'s port is missing; write [ADDRESS:]HOST:GUEST[/udp], for example 8080:80, 127.0.0.1:53:53/udp or 8000-8010:8000-8010',
        "c.yaml:5:9: vms.web.ports[1]: must be a string or a mapping, not 80",
        'c.yaml:6:9: vms.web.ports[2]: "1:2:3:4": it has too many parts; an IPv6 address needs brackets; write [ADDRESS:]HOST:GUEST[/udp], for example 8080:80, 127.0.0.1:53:53/udp or 8000-8010:8000-8010',
        'c.yaml:7:9: vms.web.ports[3]: "80-81:90": 2 host ports cannot go to 1 guest port; write [ADDRESS:]HOST:GUEST[/udp], for example 8080:80, 127.0.0.1:53:53/udp or 8000-8010:8000-8010',
        "c.yaml:8:9: vms.web.ports[4]: has no published port; a host port is never chosen by chance",
        "c.yaml:9:9: vms.web.ports[5]: has no target, the guest's port",
        'c.yaml:10:9: vms.web.ports[6]: "5:6/sctp": the protocol is tcp or udp, not "sctp"; write [ADDRESS:]HOST:GUEST[/udp], for example 8080:80, 127.0.0.1:53:53/udp or 8000-8010:8000-8010',
        'c.yaml:11:9: vms.web.ports[7]: "x" is not an IP address of this host',
        "c.yaml:12:37: vms.web.ports[8].guestPor: unknown key (did you mean guestPort?)",
      ],
    );
  });

  it("volumes: their form, their names and their targets", () => {
    assert.deepEqual(
      faults(
        [
          "vms:",
          "  web:",
          "    volumes:",
          "      - data:/x",
          "      - ./d",
          "      - x:y",
          "      - /a:/b:rx",
          "      - /a:/b",
          "      - /c:/b/",
          "      - {source: x}",
          "      - :/x",
        ].join("\n"),
      ),
      [
        'c.yaml:4:9: vms.web.volumes[0]: there is no volume "data" in this file (define it under volumes, or write ./data for a directory)',
        'c.yaml:5:9: vms.web.volumes[1]: "./d" says not where the guest sees it; write NAME:/path, ./dir:/path or /dev/sdb, with :ro at the end when it is read only',
        'c.yaml:6:9: vms.web.volumes[2]: "y" does not begin with /; write NAME:/path, ./dir:/path or /dev/sdb, with :ro at the end when it is read only',
        'c.yaml:7:9: vms.web.volumes[3]: "rx" is no mode; it is ro or rw',
        "c.yaml:9:9: vms.web.volumes[5]: another volume is at /b already",
        "c.yaml:10:9: vms.web.volumes[6]: has no target, the path in the guest",
        'c.yaml:11:9: vms.web.volumes[7]: ":/x" is no volume; write NAME:/path, ./dir:/path or /dev/sdb, with :ro at the end when it is read only',
      ],
    );
    assert.deepEqual(
      faults(["nodes: {web: {volumes: [/dev/sda, dta:/y, {type: tmpfs, source: x, target: /y}]}}", "volumes: {data: }"].join("\n")),
      [
        "c.yaml:1:25: nodes.web.volumes[0]: a node takes no disks, only directories and volumes",
        'c.yaml:1:35: nodes.web.volumes[1]: there is no volume "dta" in this file (did you mean data?)',
        "c.yaml:1:43: nodes.web.volumes[2]: a tmpfs has no source: it is empty at each start",
      ],
    );
  });
});
