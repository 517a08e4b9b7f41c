import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { guestsOf } from "../../../src/spec/compose/project.ts";
import { networkSpec } from "../../../src/spec/network.ts";
import { nodeSpec } from "../../../src/spec/node.ts";
import { vmSpec } from "../../../src/spec/vm.ts";
import { faults, load, loadAll, node, vm } from "./load-text.ts";

const mixed = `
x-limits: &limits {restart: always}
name: shop
networks:
  front: {subnet: 10.9.0.0/24, gateway: 10.9.0.254, ipv6: true}
  back: {subnets: [auto], isolation: guests, peers: [front]}
  office: {external: true, name: lan}
volumes:
  db_data: {size: 2G}
vms:
  web:
    <<: *limits
    image: debian-12
    cpu: 2
    mem: 1.5G
    disk: {size: 8G}
    networks: {front: {ipv4_address: 10.9.0.5, mac: 52-54-00-00-00-01, aliases: [www]}, back: }
    ports: ["8080:80", "127.0.0.1:53:53/udp", {published: 9000-9001, target: 90-91, host_ip: "::1"}]
    volumes: ["db_data:/var/lib//db/", "./site:/srv/www:ro", /dev/sdb, {source: db_data2, target: /x, type: volume, automount: false}]
    environment: {A: 1.10, B: "x=y", HOME: }
    provision:
      - {inline: [apt-get update, "echo $$HOME"]}
      - {type: shell, script: setup.sh}
      - {type: file, source: ./motd, target: /etc/motd, mode: "0600"}
    user_data: data.yaml
    ssh: {user: admin}
    depends_on: {db: {condition: service_healthy}}
    stop_grace_period: 1m30s
nodes:
  db:
    image: ./rootfs
    command: sh -c 'exec sleep "1 0"' a\\ b
    cpu: 512
    memory: 256
    networks: [back, office]
    volumes: ["cache:/cache", "~/conf:/etc/conf:ro"]
    healthcheck: {test: nc -z localhost 5432, interval: 5s, retries: "4"}
    environment: [MODE=prod, HOME, ABSENT]
`.replace("volumes:\n  db_data: {size: 2G}", "volumes:\n  db_data: {size: 2G}\n  db_data2:\n  cache:");
const files = {
  "/p/demo/setup.sh": "#!/bin/sh\necho hi\n",
  "/p/demo/motd": "Hello $USER\n",
  "/p/demo/data.yaml": "#cloud-config\npackages: [nginx]\n",
};

describe("loadProject", () => {
  const project = load(mixed, { files });

  it("makes every guest and network a spec the daemon takes as it is", () => {
    for (const guest of guestsOf(project)) assert.deepEqual((guest.kind === "vm" ? vmSpec : nodeSpec).parse(guest.spec), guest.spec);
    for (const { spec } of project.networks.values()) if (spec !== undefined) assert.deepEqual(networkSpec.parse(spec), spec);
    assert.equal(guestsOf(project).length, 2);
  });

  it("reads a virtual machine with docker compose's habits and its own keys", () => {
    const { spec, ...web } = vm(project);
    const { labels, ...rest } = spec;
    assert.deepEqual(rest, {
      name: "shop-web",
      image: "debian-12",
      cpus: 2,
      mem: 1536,
      disk: 8 * 1024 ** 3,
      disks: [
        { name: "db-data", source: "shop-db-data", format: "qcow2", readOnly: false, size: 2 * 1024 ** 3 },
        { name: "sdb", source: "/dev/sdb", format: "raw", readOnly: false },
        { name: "db-data2", source: "shop-db-data2", format: "qcow2", readOnly: false, size: 10 * 1024 ** 3 },
      ],
      shares: [{ name: "srv-www", source: "/p/demo/site", readOnly: true }],
      networks: [{ network: "shop-front", address: "10.9.0.5", mac: "52:54:00:00:00:01" }, { network: "shop-back" }],
      publish: [
        { protocol: "tcp", hostPort: 8080, guestPort: 80 },
        { protocol: "udp", hostAddress: "127.0.0.1", hostPort: 53, guestPort: 53 },
        { protocol: "tcp", hostAddress: "::1", hostPort: 9000, hostPortEnd: 9001, guestPort: 90 },
      ],
      queues: 1,
      machine: "q35",
      uefi: false,
      accel: "auto",
      env: { A: "1.10", B: "x=y", HOME: "/home/u" },
      restart: "always",
      hostname: "web",
      aliases: ["web", "www"],
      setup: {
        user: "admin",
        authorizedKeys: [],
        userData: "#cloud-config\npackages: [nginx]\n",
        packages: [],
        mounts: [
          { from: { disk: "db-data" }, target: "/var/lib/db", readOnly: false },
          { from: { share: "srv-www" }, target: "/srv/www", readOnly: true },
        ],
        provision: [
          { kind: "shell", script: "apt-get update\necho $HOME" },
          { kind: "shell", script: "#!/bin/sh\necho hi\n" },
          { kind: "file", target: "/etc/motd", content: "Hello $USER\n", mode: "0600" },
        ],
        agent: true,
      },
    });
    assert.deepEqual(
      { ...labels, "nexus.config": "" },
      { "nexus.project": "shop", "nexus.directory": "/p/demo", "nexus.service": "web", "nexus.config": "" },
    );
    assert.deepEqual(web, {
      kind: "vm",
      service: "web",
      active: true,
      profiles: [],
      dependsOn: new Map([["db", { condition: "healthy", required: true }]]),
      stopGraceMs: 90_000,
    });
  });

  it("reads a node, its command split as a shell does, and its health check", () => {
    const { spec, healthcheck } = node(project, "db");
    assert.deepEqual(spec.command, ["sh", "-c", 'exec sleep "1 0"', "a b"]);
    assert.deepEqual([spec.image, spec.mem, spec.cpu, spec.hostname], ["/p/demo/rootfs", 256, 512, "db"]);
    assert.deepEqual(spec.env, { MODE: "prod", HOME: "/home/u" });
    assert.deepEqual(spec.networks, [{ network: "shop-back" }, { network: "lan" }]);
    assert.deepEqual(spec.volumes, [
      { source: "shop-cache", target: "/cache", readOnly: false },
      { source: "/home/u/conf", target: "/etc/conf", readOnly: true },
    ]);
    assert.deepEqual(healthcheck, {
      probe: { kind: "shell", script: "nc -z localhost 5432" },
      intervalMs: 5000,
      timeoutMs: 30_000,
      retries: 4,
      startPeriodMs: 0,
    });
  });

  it("names networks after the project unless they have a name; a pair of peers stands at the later one", () => {
    const [front, back, office] = project.networks.values();
    assert.deepEqual([front?.name, back?.name, office?.name, office?.spec], ["shop-front", "shop-back", "lan", undefined]);
    assert.deepEqual(front?.spec?.subnets, [{ prefix: "10.9.0.0/24", gateway: "10.9.0.254" }]);
    assert.deepEqual([front?.spec?.peers, back?.spec?.peers], [[], ["shop-front"]]);
    const turned = load("networks: {a: {peers: [b]}, b: {}}").networks;
    assert.deepEqual(
      [...turned.values()].map((network) => network.spec?.peers),
      [[], ["demo-a"]],
    );
  });

  it("takes on and off for true and false, as in dhcp: off", () => {
    const { networks } = load("networks: {quiet: {dhcp: off}, loud: {dhcp: on}}");
    assert.deepEqual(
      ["quiet", "loud"].map((name) => networks.get(name as never)?.spec?.dhcp),
      [false, true],
    );
  });

  it("puts nodes without networks on the project's default network, and leaves machines without any in user mode", () => {
    const plain = load("vms: {a: }\nnodes: {b: }");
    assert.deepEqual(vm(plain, "a").spec.networks, []);
    assert.deepEqual(node(plain, "b").spec.networks, [{ network: "demo-default" }]);
    assert.deepEqual([...plain.networks.keys()], ["default"]);
    assert.deepEqual([...load("vms: {a: }").networks.keys()], []);
    assert.deepEqual(load("networks: {default: {mtu: 1400}}\nnodes: {b: }").networks.get("default" as never)?.spec?.mtu, 1400);
  });

  it("takes the project's name from the option, the file or the directory", () => {
    assert.equal(load("").name, "demo");
    assert.equal(load("name: x").name, "x");
    assert.equal(load("name: x", { projectName: "y" }).name, "y");
    assert.equal(load("", { directory: "/srv/My_App 2" }).name, "my-app-2");
    assert.equal(load("", { file: "/srv/other/nexus-compose.yaml", directory: "/srv/other" }).name, "other");
  });

  it("gives the same hash for the same content and another for another", () => {
    const hash = (text: string) => vm(load(text)).spec.labels["nexus.config"];
    assert.equal(hash("vms: {web: {cpus: 1, memory: 64}}"), hash("vms: {web: {mem: 64M, cpu: '1'}}"));
    assert.notEqual(hash("vms: {web: {cpus: 1}}"), hash("vms: {web: {cpus: 2}}"));
    assert.notEqual(hash("vms: {web: {}}"), hash("vms: {web: {provision: [{inline: x}]}}"));
    assert.notEqual(hash("vms: {web: {}}"), hash("vms: {web: {healthcheck: {tcp: 22}}}"));
    assert.equal(hash("vms: {web: {}}"), hash("vms: {web: {depends_on: [db]}, db: }"), "what it waits for is no part of the machine");
  });

  it("a node has directories in memory, short and long, as docker compose writes them", () => {
    const text = `
nodes:
  web:
    tmpfs: ["/run", "/data//x/:mode=755,uid=1009,gid=1009,size=64m,exec,ro"]
    volumes:
      - {type: tmpfs, target: /cache, tmpfs: {size: 1048576, mode: "1700"}}
      - {type: tmpfs, target: /plain, read_only: true}
  one: {tmpfs: /tmp}
`;
    const project = load(text, { overrides: [{ file: "o.yaml", text: "nodes: {web: {tmpfs: ['/run:size=1G', /new]}}" }] });
    const plain = { readOnly: false, exec: false };
    assert.deepEqual(node(project).spec.tmpfs, [
      { target: "/cache", size: 1048576, mode: "1700", ...plain },
      { target: "/plain", ...plain, readOnly: true },
      { target: "/run", size: 1024 ** 3, ...plain },
      { target: "/data/x", mode: "755", uid: 1009, gid: 1009, size: 64 * 1024 ** 2, readOnly: true, exec: true },
      { target: "/new", ...plain },
    ]);
    assert.deepEqual(node(project, "one").spec.tmpfs, [{ target: "/tmp", ...plain }]);
    assert.deepEqual(
      faults(
        "nodes: {web: {tmpfs: [run, '/a:size=10%', '/b:x'], volumes: ['./c:/c', {type: tmpfs, target: /c}]}}\nvms: {v: {volumes: [{type: tmpfs, target: /x}]}, w: {tmpfs: /x}}",
      ),
      [
        'c.yaml:1:23: nodes.web.tmpfs[0]: "run": "run" is no absolute path of a directory; write PATH or PATH:OPTIONS, for example /run or /tmp:size=64M,mode=1777,uid=1000,exec',
        'c.yaml:1:28: nodes.web.tmpfs[1]: "/a:size=10%": "10%" is no size; write PATH or PATH:OPTIONS, for example /run or /tmp:size=64M,mode=1777,uid=1000,exec',
        'c.yaml:1:43: nodes.web.tmpfs[2]: "/b:x": "x" is none of its options; write PATH or PATH:OPTIONS, for example /run or /tmp:size=64M,mode=1777,uid=1000,exec',
        "c.yaml:1:72: nodes.web.volumes[1]: another volume is at /c already",
        "c.yaml:2:21: vms.v.volumes[0]: only a node's volume can be a tmpfs (write a line of provision that mounts it)",
        "c.yaml:2:54: vms.w.tmpfs: unknown key (only nodes have it; a virtual machine mounts it by itself)",
      ],
    );
  });

  it("volumes called as the machine's own disks have another name in it", () => {
    const text = "vms: {web: {volumes: ['root:/a', 'cidata:/b', '/dev/root:/c']}}\nvolumes: {root: , cidata: }";
    assert.deepEqual(
      vm(load(text)).spec.disks.map(({ name, source }) => `${name} ${source}`),
      ["root-2 demo-root", "cidata-2 demo-cidata", "root-3 /dev/root"],
    );
  });

  it("ignores x- keys at the top and in definitions, where a name that begins so is a name", () => {
    const project = load("x-a: 1\nvms: {x-ray: {x-b: 2, cpus: 3}}\nnetworks: {n: {x-c: 4}}\nvolumes: {v: {x-d: }}");
    assert.equal(vm(project, "x-ray").spec.cpus, 3);
  });

  it("has only the guests active whose profiles are on, or that have none", () => {
    const text = "nodes: {a: {profiles: [debug]}, b: {}, c: {profiles: [x, y]}}";
    const active = (profiles: string[]) =>
      guestsOf(load(text, { profiles }))
        .filter((one) => one.active)
        .map((one) => one.service);
    assert.deepEqual([active([]), active(["y"]), active(["*"])], [["b"], ["b", "c"], ["a", "b", "c"]]);
  });

  it("knows exec, http and tcp health checks", () => {
    const probe = (text: string) => node(load(`nodes: {web: {healthcheck: ${text}}}`)).healthcheck?.probe;
    assert.deepEqual(probe("{test: [CMD, a, b]}"), { kind: "exec", command: ["a", "b"] });
    assert.deepEqual(probe("{test: [a, b]}"), { kind: "exec", command: ["a", "b"] });
    assert.deepEqual(probe("{test: [CMD-SHELL, a b]}"), { kind: "shell", script: "a b" });
    assert.deepEqual(probe("{http: 'http://localhost:8080/up?x=1'}"), { kind: "http", port: 8080, path: "/up?x=1" });
    assert.deepEqual(probe("{http: /up}"), { kind: "http", port: 80, path: "/up" });
    assert.deepEqual(probe("{tcp: '22'}"), { kind: "tcp", port: 22 });
    assert.equal(probe("{test: [NONE]}"), undefined);
    assert.equal(probe("{disable: true}"), undefined);
  });

  it("warns of what may not be meant", () => {
    const { warnings } = loadAll("nodes:\n  a: {image: 'mini', command: [echo, $UNSET]}");
    assert.deepEqual(
      warnings.map(({ place, problem }) => `${place} ${problem}`),
      ["c.yaml:2:38 the variable UNSET is not set and counts as empty"],
    );
  });
});
