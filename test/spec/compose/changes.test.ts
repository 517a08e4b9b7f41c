import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { NexusError } from "../../../src/base/errors.ts";
import { changes } from "../../../src/spec/compose/changes.ts";
import { downActions } from "../../../src/spec/compose/down.ts";
import { startOrder } from "../../../src/spec/compose/order.ts";
import { orphansOf, type Present } from "../../../src/spec/compose/present.ts";
import { load } from "./load-text.ts";
import { nothing, presentAfter } from "./present-after.ts";

const text = `
networks:
  front: {peers: [back]}
  back: {subnet: 10.8.0.0/24}
volumes: {data: , unused: }
vms:
  db: {image: debian-12, memory: 512, networks: [back], volumes: [data:/d], provision: [{inline: a}]}
nodes:
  web: {image: mini, networks: [front, back], ports: ["80:80"], depends_on: [db, cache], memory: 64}
  cache: {networks: [back], stop_grace_period: 3s}
  debug: {networks: [front], profiles: [debug]}
`;
const project = load(text);
const up = presentAfter(nothing, changes(project, nothing));
const texts = (next: string, present: Present = up, options = {}) => changes(load(next), present, options).map((action) => action.text);
const edit = (from: string, to: string): string => {
  assert.ok(text.includes(from), from);
  return text.replace(from, to);
};

describe("changes", () => {
  it("of nothing make networks, volumes, and guests after those they need", () => {
    assert.deepEqual(texts(text, nothing), [
      "create network demo-front",
      "create network demo-back",
      "create volume demo-data",
      "create demo-db",
      "create demo-cache",
      "create demo-web",
    ]);
  });

  it("of a project that is as it should be are none", () => {
    assert.deepEqual(changes(project, up), []);
    assert.deepEqual(
      changes(load(text.replace("memory: 512", "mem: 512M")), JSON.parse(JSON.stringify(up)) as Present),
      [],
      "as the API gives it",
    );
    assert.deepEqual(texts(edit("stop_grace_period: 3s", "profiles: []")), [], "what compose does itself needs no new guest");
  });

  it("start what does not run", () => {
    const stopped = {
      ...up,
      guests: up.guests.map((guest) => (guest.name === "demo-db" ? { ...guest, state: "exited" as const } : guest)),
    };
    assert.deepEqual(texts(text, stopped), ["start demo-db: it is exited"]);
  });

  it("are made in place where the kernel can, and anew with the reason where not", () => {
    const cases: [from: string, to: string, expected: string[]][] = [
      ['ports: ["80:80"]', 'ports: ["81:80"]', ["change demo-web in place: ports"]],
      ["memory: 64", "memory: 128", ["change demo-web in place: memory (64 -> 128)"]],
      ["memory: 64}", "cpus: 2}", ["recreate demo-web: changed: cpus (none -> 2), memory (64 -> none)"]],
      ["memory: 512", "memory: 256", ["change demo-db in place: memory (512 -> 256)"]],
      ["memory: 512", "memory: 1024", ["recreate demo-db: changed: memory (512 -> 1024)"]],
      ["image: debian-12", "image: debian-13", ["recreate demo-db: changed: image (debian-12 -> debian-13)"]],
      ["image: mini", "image: mini, env: {SECRET: hunter2}", ["recreate demo-web: changed: environment"]],
      [
        "image: debian-12, memory: 512, networks: [back]",
        "image: debian-12, memory: 512, networks: [back, front]",
        ["change demo-db in place: networks"],
      ],
      [
        "memory: 512, networks: [back]",
        "memory: 512, networks: {back: {egress: {mode: none}}, front: }",
        ["change demo-db in place: networks"],
      ],
      ["memory: 512, networks: [back]", "memory: 512, networks: [front]", ["change demo-db in place: networks"]],
      ["memory: 512, networks: [back]", "memory: 512, networks: [front, back]", ["recreate demo-db: changed: networks"]],
      ["memory: 512, networks: [back]", "memory: 512", ["recreate demo-db: changed: networks"]],
      ["volumes: [data:/d], p", "volumes: [data:/d, /dev/sdb], p", ["change demo-db in place: volumes"]],
      ["volumes: [data:/d], p", "p", ["recreate demo-db: changed: volumes, what it is set up with"]],
      ["inline: a", "inline: b", ["recreate demo-db: changed: what it is set up with"]],
      [
        "{peers: [back]}",
        "{peers: [back], nat: false, mtu: 1400}",
        ["change network demo-front in place: mtu (auto -> 1400), nat (true -> false)"],
      ],
      ["{peers: [back]}", "{}", ["change network demo-back in place: peers"]],
      ["cache: {networks", "cache: {labels: {a: b}, networks", ["change demo-cache in place: labels"]],
      ["stop_grace_period: 3s", "healthcheck: {tcp: 1}", ["change demo-cache in place: healthcheck"]],
      ["{peers: [back]}", "{peers: [back], egress: {mode: none}}", ["change network demo-front in place: egress"]],
      ["cache: {networks: [back]", "cache: {networks: {back: {egress: {mode: none}}}", ["change demo-cache in place: networks"]],
      [
        "networks: [back], volumes",
        "networks: {back: {egress: {mode: allowlist, allow: [a.example:1]}}}, volumes",
        ["change demo-db in place: networks"],
      ],
      [
        "networks: [back], volumes",
        "networks: {back: {egress: {mode: none}, address: 10.8.0.7}}, volumes",
        ["recreate demo-db: changed: networks"],
      ],
      ["{peers: [back]}", "{peers: [back], labels: {a: b}}", ["change network demo-front in place: labels"]],
    ];
    for (const [from, to, expected] of cases) assert.deepEqual(texts(edit(from, to)), expected, to);
    for (const [from, to] of cases) {
      const next = load(edit(from, to));
      assert.deepEqual(changes(next, presentAfter(up, changes(next, up))), [], `${to}, a second time`);
    }
  });

  it("take a policy back where the file has it no more", () => {
    const strict = edit("front: {peers: [back]}", "front: {peers: [back], egress: {mode: none}}").replace(
      "cache: {networks: [back]",
      "cache: {networks: {back: {egress: {mode: none}}}",
    );
    const before = presentAfter(up, changes(load(strict), up));
    const back = changes(project, before);
    assert.deepEqual(
      back.map((action) => ("change" in action ? action.change : action.text)),
      [{ egress: { mode: "unrestricted", allow: [] } }, { egress: { "demo-back": { mode: "unrestricted", allow: [] } } }],
    );
    assert.deepEqual(changes(project, presentAfter(before, back)), []);
  });

  it("of a network that has to be made anew take its guests off and put them back, in order, and renew its peers", () => {
    const front = "peers: [back], bridge: br9";
    assert.deepEqual(texts(edit("peers: [back]", front)), [
      "remove demo-web: its network demo-front is made anew",
      "recreate network demo-front: changed: bridge (none -> br9)",
      "change network demo-back in place: peers",
      "create demo-web",
    ]);
    const back = texts(edit("10.8.0.0/24", "10.9.0.0/24"));
    assert.deepEqual(back.slice(0, 4), [
      "remove demo-db: its network demo-back is made anew",
      "remove demo-cache: its network demo-back is made anew",
      "remove demo-web: its network demo-back is made anew",
      "recreate network demo-back: changed: subnets",
    ]);
  });

  it("make a guest anew that becomes another kind", () => {
    assert.deepEqual(
      texts(
        text.replace("  cache: {networks: [back], stop_grace_period: 3s}\n", "").replace("vms:\n", "vms:\n  cache: {networks: [back]}\n"),
      ),
      ["recreate demo-cache: it is a container and becomes a vm"],
    );
  });

  it("leave what is gone from the file unless told otherwise", () => {
    const less = "networks: {front: }\nnodes: {web: {image: mini, networks: [front], memory: 64, ports: ['80:80']}}";
    assert.deepEqual(
      orphansOf(load(less), up).map(({ name }) => name),
      ["demo-db", "demo-cache"],
    );
    assert.equal(
      texts(less).some((line) => line.includes("demo-db")),
      false,
    );
    assert.deepEqual(texts(less, up, { removeOrphans: true }), [
      "remove demo-db: the file has it no more",
      "remove demo-cache: the file has it no more",
      "recreate demo-web: changed: networks",
      "remove network demo-back: the file has it no more",
    ]);
  });

  it("never touch what another project or nobody's file made", () => {
    const elsewhere = load(text, { directory: "/q/demo" });
    const refusal = (run: () => unknown): string => {
      try {
        run();
      } catch (error) {
        assert.ok(error instanceof NexusError);
        return `${error.code}: ${error.message} (${error.hint})`;
      }
      return "";
    };
    assert.equal(
      refusal(() => changes(elsewhere, up)),
      "name-taken: there is a guest demo-db, and it is of the project demo in /p/demo (give this project another name)",
    );
    const bare = { ...nothing, networks: up.networks.map((network) => ({ ...network, labels: {} })) };
    assert.equal(
      refusal(() => changes(project, bare)),
      "name-taken: there is a network demo-front, and no compose file made it (rename the network, or give this project another name)",
    );
    assert.match(
      refusal(() => changes(project, { ...nothing, volumes: [{ name: "demo-data" as never, labels: { "nexus.project": "other" } }] })),
      /^name-taken: there is a volume demo-data/,
    );
    assert.deepEqual(downActions(elsewhere, up, { volumes: true, removeOrphans: true }), []);
  });

  it("need what is external to be there", () => {
    const external = load(
      "networks: {lan: {external: true, name: office}}\nvolumes: {v: {external: true}}\nnodes: {web: {networks: [lan]}}",
    );
    assert.throws(() => changes(external, nothing), /not-found|network lan is external, and there is no network office/);
    const lan = { name: "office" as never, labels: {}, spec: { name: "office" } as never };
    assert.throws(() => changes(external, { ...nothing, networks: [lan] }), /volume v is external, and there is no volume v/);
    const there = { ...nothing, networks: [lan], volumes: [{ name: "v" as never, labels: {} }] };
    const after = presentAfter(there, changes(external, there));
    assert.deepEqual(
      after.guests.map(({ name }) => name),
      ["demo-web"],
    );
    assert.deepEqual(presentAfter(after, downActions(external, after, { volumes: true })), there);
  });

  it("lead from any project to any other, in steps that are possible, and then there are none", { timeout: 60_000 }, () => {
    const flag = fc.boolean();
    const pick = <T>(...values: T[]) => fc.constantFrom(...values);
    const some = fc.record({
      peers: flag,
      subnet: pick("auto", "10.8.0.0/24", "10.9.0.0/24"),
      nat: flag,
      mem: pick(64, 128, 256),
      port: pick(80, 81),
      vm: flag,
      cache: flag,
      label: pick("a", "b"),
      on: pick("front", "back", "front, back"),
    });
    const file = fc.record({ a: some, profile: flag }).map(({ a, profile }) => ({
      text: [
        `networks: {front: {nat: ${a.nat}${a.peers ? ", peers: [back]" : ""}}, back: {subnet: ${a.subnet}}}`,
        a.vm ? `vms: {db: {memory: ${a.mem}, networks: [back], labels: {x: ${a.label}}}}` : "",
        `nodes: {web: {ports: ['${a.port}:80'], memory: ${a.mem}, networks: [${a.on}]${a.vm ? ", depends_on: [db]" : ""}}${a.cache ? ", cache: {profiles: [p], networks: [back]}" : ""}${a.vm ? "" : ", db: {networks: [front]}"}}`,
      ].join("\n"),
      profiles: profile ? ["p"] : [],
    }));
    fc.assert(
      fc.property(fc.array(file, { minLength: 1, maxLength: 4 }), flag, (files, removeOrphans) => {
        let present = nothing;
        for (const { text: next, profiles } of files) {
          const wanted = load(next, { profiles });
          present = presentAfter(present, changes(wanted, present, { removeOrphans }));
          assert.deepEqual(changes(wanted, present, { removeOrphans }), []);
        }
        const last = files.at(-1);
        const down = presentAfter(
          present,
          downActions(load(last?.text ?? "", { profiles: [] }), present, { volumes: true, removeOrphans: true }),
        );
        assert.deepEqual(down, nothing);
      }),
      { numRuns: 60 },
    );
  });
});

describe("downActions", () => {
  it("remove a volume without an owner only while the project is there to vouch for it", () => {
    const unlabelled = { ...up, volumes: up.volumes.map(({ name }) => ({ name, labels: {} })) };
    assert.deepEqual(changes(project, unlabelled), [], "a guest had it made");
    assert.deepEqual(presentAfter(unlabelled, downActions(project, unlabelled, { volumes: true })), nothing);
    assert.deepEqual(downActions(project, { ...nothing, volumes: unlabelled.volumes }, { volumes: true }), []);
  });

  it("stop and remove guests before those they need, then networks; volumes only when told", () => {
    const down = downActions(project, up);
    assert.deepEqual(
      down.map((action) => action.text),
      [
        "stop demo-web",
        "stop demo-db",
        "stop demo-cache",
        "remove demo-web",
        "remove demo-db",
        "remove demo-cache",
        "remove network demo-back",
        "remove network demo-front",
      ],
    );
    assert.deepEqual(down[2], { kind: "stop-guest", name: "demo-cache", graceMs: 3000, text: "stop demo-cache" });
    const left = presentAfter(up, down);
    assert.deepEqual([left.guests, left.networks, left.volumes.map(({ name }) => name)], [[], [], ["demo-data"]]);
    assert.deepEqual(presentAfter(up, downActions(project, up, { volumes: true })), nothing);
    assert.deepEqual(downActions(project, nothing), []);
  });

  it("leave orphans and the networks they are on, unless told", () => {
    const less = load("networks: {front: }\nnodes: {web: {networks: [front]}}");
    assert.deepEqual(
      downActions(less, up).map((action) => action.text),
      ["stop demo-web", "remove demo-web", "remove network demo-front"],
    );
    assert.deepEqual(presentAfter(up, downActions(less, up, { removeOrphans: true, volumes: true })), nothing);
  });
});

describe("startOrder", () => {
  it("is waves, each needing only what is before it; guests that are off are in none", () => {
    const waves = startOrder(
      load("nodes: {a: {depends_on: [b, c]}, b: {depends_on: [d]}, c: , d: , e: {profiles: [x]}, f: {depends_on: {e: {required: false}}}}"),
    );
    assert.deepEqual(
      waves.map((wave) => wave.map((guest) => guest.service)),
      [["c", "d", "f"], ["b"], ["a"]],
    );
  });
});
