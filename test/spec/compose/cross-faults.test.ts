import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { faults } from "./load-text.ts";

/** Texts, and all that is told of each at once. */
describe("the faults of a compose file as a whole", () => {
  it("networks that are not there, twice there, or asked for what a node has not", () => {
    assert.deepEqual(
      faults(
        [
          "nodes:",
          "  web: {networks: [frnt, back, back]}",
          "  b: {networks: {back: {mac: '02:00:00:00:00:01', queues: 2}}}",
          "networks: {front: , back: }",
        ].join("\n"),
      ),
      [
        'c.yaml:2:20: nodes.web.networks.frnt: there is no network "frnt" in this file (did you mean front?)',
        'c.yaml:2:32: nodes.web.networks[2]: "back" is there twice',
        "c.yaml:3:25: nodes.b.networks.back.mac: only a virtual machine's network card has this",
        "c.yaml:3:51: nodes.b.networks.back.queues: only a virtual machine's network card has this",
      ],
    );
  });

  it("dependencies that are not there, round in a circle, or never fulfilled", () => {
    assert.deepEqual(
      faults(
        [
          "vms:",
          "  web: {depends_on: [wep, db]}",
          "  wob: {depends_on: {web: {condition: well}}}",
          "  self: {depends_on: [self]}",
          "nodes: {db: }",
        ].join("\n"),
      ),
      [
        'c.yaml:2:22: vms.web.depends_on.wep: there is no guest "wep" in this file (did you mean web?)',
        'c.yaml:3:39: vms.wob.depends_on.web.condition: must be "started", "service_started", "healthy", "service_healthy", "completed" or "service_completed_successfully", not "well"',
        "c.yaml:4:23: vms.self.depends_on.self: goes round in a circle: self -> self (leave one of these out)",
      ],
    );
    assert.deepEqual(
      faults(["vms:", "  a: {depends_on: [b]}", "  b: {depends_on: [c]}", "  c: {depends_on: [d]}", "  d: {depends_on: [b]}"].join("\n")),
      ["c.yaml:3:20: vms.b.depends_on.c: goes round in a circle: b -> c -> d -> b (leave one of these out)"],
    );
    assert.deepEqual(
      faults(
        [
          "nodes:",
          "  a: {depends_on: {b: {condition: completed}, c: {condition: healthy}, e: {required: false}}}",
          "  b: {restart: always}",
          "  c: {profiles: [x]}",
        ].join("\n"),
      ),
      [
        'c.yaml:2:20: nodes.a.depends_on.b: waits for the end of b, which is restarted whenever it ends (give b restart: "no")',
        "c.yaml:2:47: nodes.a.depends_on.c: waits for the health of c, which has no healthcheck (give c a healthcheck, or wait for it to be started)",
        "c.yaml:2:47: nodes.a.depends_on.c: needs c, whose profiles are off: x (turn one on, or write required: false)",
      ],
    );
  });

  it("addresses outside the network, not a guest's to have, and taken", () => {
    assert.deepEqual(
      faults(
        [
          "networks: {lan: {subnet: 10.0.0.0/24}, auto: }",
          "nodes:",
          "  a: {networks: {lan: {address: 10.0.1.1}}}",
          "  b: {networks: {lan: {address: 10.0.0.1}}}",
          "  c: {networks: {lan: {ipv4_address: 10.0.0.255}}}",
          "  d: {networks: {lan: {address: 10.0.0.7}}}",
          "  e: {networks: {lan: {address: 10.0.0.7, address6: 'fd00::1'}}}",
          "  f: {networks: {auto: {address: 10.0.0.7}}}",
          "  g: {networks: {lan: {address: fd00::1}}}",
        ].join("\n"),
      ),
      [
        "c.yaml:3:33: nodes.a.networks.lan.address: 10.0.1.1 is outside network lan, which has 10.0.0.0/24",
        "c.yaml:4:33: nodes.b.networks.lan.address: 10.0.0.1 is the gateway of network lan",
        "c.yaml:5:38: nodes.c.networks.lan.ipv4_address: 10.0.0.255 is an end of 10.0.0.0/24, which no guest can have",
        "c.yaml:7:33: nodes.e.networks.lan.address: 10.0.0.7 is the address of d already",
        "c.yaml:7:53: nodes.e.networks.lan.address6: network lan has no IPv6 subnet of your choosing, so no address in it can be chosen (give lan a subnet)",
        "c.yaml:8:34: nodes.f.networks.auto.address: network auto has no IPv4 subnet of your choosing, so no address in it can be chosen (give auto a subnet)",
        'c.yaml:9:33: nodes.g.networks.lan.address: "fd00::1" is not an IPv4 address',
      ],
    );
  });

  it("networks that overlap, peer with nobody, or are not theirs to change", () => {
    assert.deepEqual(
      faults(
        [
          "networks:",
          "  a: {subnets: [{prefix: 10.0.0.0/24, reserved: [10.0.0.8/29]}]}",
          "  b: {subnet: auto, gateway: 10.0.0.1}",
          "  c: {subnet: 10.0.0.128/25}",
          "  d: {external: true, mtu: 1500}",
          "  e: {subnet: 10.2.0.0/24, subnets: [auto]}",
          "  f: {driver: macvlan, peers: [f, aa]}",
          "  g: {subnet: 10.0.0.1/8}",
          "nodes: {x: {networks: {a: {address: 10.0.0.9}}}}",
        ].join("\n"),
      ),
      [
        "c.yaml:3:30: networks.b.gateway: a gateway needs its subnet: name it in CIDR notation",
        "c.yaml:4:15: networks.c.subnet: 10.0.0.128/25 overlaps 10.0.0.0/24 of networks.a",
        "c.yaml:5:23: networks.d.mtu: an external network has only a name: it is there already (leave out external to have it made)",
        "c.yaml:6:7: networks.e.subnet: subnet and subnets are both given",
        'c.yaml:7:15: networks.f.driver: must be "bridge", not "macvlan"',
        "c.yaml:7:32: networks.f.peers[0]: a network is no peer of its own",
        'c.yaml:7:35: networks.f.peers[1]: there is no network "aa" in this file',
        'c.yaml:8:15: networks.g.subnet: "10.0.0.1/8" has bits set below its mask; did you mean 10.0.0.0/8?',
        "c.yaml:9:37: nodes.x.networks.a.address: 10.0.0.9 is reserved in network a",
      ],
    );
  });

  it("a host port wanted twice, by a guest that is on", () => {
    assert.deepEqual(
      faults(
        [
          "nodes:",
          "  a: {ports: ['80:80', '80:81', '81:81/udp']}",
          "  b: {ports: ['127.0.0.1:85-95:5-15']}",
          "  c: {ports: ['90:80']}",
          "  d: {ports: ['80:80/udp', '127.0.0.2:85:1']}",
          "  e: {ports: ['80:1'], profiles: [debug]}",
          "vms: {v: {ssh: {port: 80}}}",
        ].join("\n"),
      ),
      [
        "c.yaml:2:15: nodes.a.ports[0]: host port 80/tcp is published by vms.v already",
        "c.yaml:2:24: nodes.a.ports[1]: host port 80/tcp is published by vms.v already",
        "c.yaml:4:15: nodes.c.ports[0]: host port 90/tcp is published by nodes.b already",
      ],
    );
  });

  it("a disk two machines write to, and a volume that is a disk and a directory", () => {
    assert.deepEqual(
      faults(
        [
          "volumes: {d: }",
          "vms:",
          "  a: {volumes: [d:/x]}",
          "  b: {volumes: ['d:/y:ro']}",
          "  c: {volumes: [/dev/sdb, 'd:/z']}",
          "nodes: {n: {volumes: ['d:/x']}}",
        ].join("\n"),
      ),
      [
        "c.yaml:5:27: vms.c.volumes[1]: vms.a writes to this disk too; two machines that do destroy its file system (make it :ro in all but one)",
        "c.yaml:6:23: nodes.n.volumes[0]: vms.a has this volume as a disk; it cannot be a directory too (virtual machines get volumes as disks, nodes as directories)",
      ],
    );
  });

  it("volumes whose names are none or meet", () => {
    assert.deepEqual(faults(["volumes: {a_b: , a.b: , '!': , c: {size: 5X}}"].join("\n")), [
      'c.yaml:1:18: volumes.a.b: the volume "a_b" is called demo-a-b on this host too (give one of them a name)',
      'c.yaml:1:25: volumes.!: "!" is no volume\'s name; use letters, digits, "_", "." and "-"',
      'c.yaml:1:42: volumes.c.size: "5X": it is no size; write a whole number, with K, M, G or T: 512M, 10G',
    ]);
  });

  it("names that are none, or too long with the project's before them", () => {
    assert.deepEqual(
      faults(
        [
          "name: My App",
          "nodes: {aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: , A_b: }",
          "networks: {bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb: , C: }",
        ].join("\n"),
      ),
      [
        'c.yaml:1:7: name: "My App" is no name; use lower-case letters, digits and "-", not at the ends (write my-app)',
        'c.yaml:2:9: nodes.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: with the project\'s name before it: "my-app-aaaaaaaaaaaaa…" has 67 characters; a name has at most 63 (shorten one of the two by 4)',
        'c.yaml:2:73: nodes.A_b: "A_b" is no name; use lower-case letters, digits and "-", not at the ends (write a-b)',
        'c.yaml:3:12: networks.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb: with the project\'s name before it: "my-app-bbbbbbbbbbbbb…" has 67 characters; a name has at most 63 (give it a shorter one by name)',
        'c.yaml:3:76: networks.C: "C" is no name; use lower-case letters, digits and "-", not at the ends (write c)',
      ],
    );
  });

  it("a name that a machine and a node have", () => {
    assert.deepEqual(faults(["vms: {a: }", "nodes: {a: }"].join("\n")), [
      "c.yaml:2:9: nodes.a: a virtual machine of this file has the same name",
    ]);
  });

  it("machines that cannot be", () => {
    assert.deepEqual(
      faults(
        ["vms: {a: {machine: microvm, uefi: true, initrd: /x, ssh: {port: 22}, networks: [default]}}", "networks: {default: }"].join("\n"),
      ),
      [
        "c.yaml:1:35: vms.a.uefi: a microvm has no UEFI firmware; use machine q35",
        "c.yaml:1:49: vms.a.initrd: an initrd needs a kernel beside it",
        "c.yaml:1:65: vms.a.ssh.port: only user mode forwards SSH; on a network use its address",
      ],
    );
  });

  it("steps and files of provision", () => {
    assert.deepEqual(
      faults(
        [
          "vms:",
          "  a:",
          "    provision:",
          "      - {type: x}",
          "      - {inline: a, script: b}",
          "      - {}",
          "      - {type: file, target: /x}",
          "      - {type: file, source: a, target: b}",
          "      - {script: gone.sh}",
          "    env_file: [a.env, {path: b.env, required: false}]",
          "    user_data: c.yaml",
        ].join("\n"),
      ),
      [
        'c.yaml:4:16: vms.a.provision[0].type: must be "shell" or "file", not "x"',
        "c.yaml:5:9: vms.a.provision[1]: needs one of inline and script",
        "c.yaml:6:9: vms.a.provision[2]: needs one of inline and script",
        "c.yaml:7:9: vms.a.provision[3]: needs one of source and content",
        "c.yaml:8:41: vms.a.provision[4].target: the path in the guest begins with / and is no directory",
        "c.yaml:9:18: vms.a.provision[5].script: there is no file gone.sh",
        "c.yaml:10:16: vms.a.env_file[0]: there is no file a.env (write {path: …, required: false} when it may be absent)",
        "c.yaml:11:16: vms.a.user_data: there is no file c.yaml",
      ],
    );
  });

  it("health checks without a check, or with two", () => {
    assert.deepEqual(
      faults(
        [
          "vms:",
          "  a: {healthcheck: {}}",
          "  b: {healthcheck: {test: x, tcp: 1}}",
          "  c: {healthcheck: {http: 'ftp://x'}}",
          "  d: {healthcheck: {test: [CMD]}}",
          "  e: {healthcheck: {tcp: 1, interval: 1ms}}",
          "  f: {healthcheck: {tests: x}}",
        ].join("\n"),
      ),
      [
        "c.yaml:2:20: vms.a.healthcheck: needs one of test, http and tcp",
        "c.yaml:3:20: vms.b.healthcheck: needs one of test, http and tcp",
        'c.yaml:4:27: vms.c.healthcheck.http: "ftp://x" is no address in the guest; write http://localhost:PORT/PATH or :PORT/PATH',
        "c.yaml:5:20: vms.d.healthcheck: the test has no command",
        "c.yaml:6:20: vms.e.healthcheck: an interval or timeout is shorter than 100ms",
        "c.yaml:7:21: vms.f.healthcheck.tests: unknown key (did you mean test?)",
      ],
    );
  });

  it("labels that are Nexus's own, and a command line that does not end", () => {
    assert.deepEqual(faults(["nodes: {a: {labels: {nexus.x: y, -: z}, command: 'a \"b'}}"].join("\n")), [
      "c.yaml:1:22: nodes.a.labels.nexus.x: labels that begin with nexus. are Nexus's own",
      'c.yaml:1:34: nodes.a.labels.-: a label has letters, digits, ".", "_", "/" and "-", not at the ends',
      'c.yaml:1:50: nodes.a.command: a " is not closed',
    ]);
  });

  it("ports nothing can lead to", () => {
    const text = [
      "networks: {in: {internal: true}, out: }",
      "nodes:",
      "  a: {networks: [in], ports: ['80:80']}",
      "  b: {networks: [in, out], ports: ['81:80']}",
      "  c: {networks: {}, ports: ['82:80']}",
      "vms: {d: {ports: ['83:80']}}",
    ];
    assert.deepEqual(faults(text.join("\n")), [
      "c.yaml:3:23: nodes.a.ports: ports cannot be published from internal networks only (put the guest on a network that is not internal as well)",
      "c.yaml:5:21: nodes.c.ports: a guest without networks publishes nothing (put the guest on a network that is not internal as well)",
    ]);
  });

  it("files no path can name", () => {
    assert.deepEqual(faults('vms: {a: {provision: [{script: "a\\0b"}]}}'), [
      "c.yaml:1:32: vms.a.provision[0].script: there is no file a\0b",
    ]);
  });
});
