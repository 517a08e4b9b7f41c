import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { faults, load, node, vm } from "./load-text.ts";

describe("env_file", () => {
  it("is below environment, a later file above an earlier one, from where it is named", () => {
    const files = { "/p/demo/a.env": "A=a\nB=a\nC=a\nD=$A-$HOME\n", "/p/demo/sub/b.env": "B=b\n" };
    const text = "nodes: {web: {env_file: [a.env, {path: sub/b.env}, {path: no.env, required: false}], environment: {C: c}}}";
    assert.deepEqual(node(load(text, { files })).spec.env, { A: "a", B: "b", C: "c", D: "a-/home/u" });
    assert.deepEqual(node(load("nodes: {web: {env_file: a.env}}", { files })).spec.env["B"], "a");
  });

  it("has its own places", () => {
    assert.deepEqual(faults("nodes: {web: {env_file: a.env}}", { files: { "/p/demo/a.env": "A=1\n1B=2\n" } }), [
      "a.env:2:1: is no NAME=value line (a name has letters, digits and _; # begins a comment)",
    ]);
  });
});

describe("override files", () => {
  const base = [
    "networks: {lan: {mtu: 1400, peers: []}}",
    "nodes:",
    "  web:",
    "    image: one",
    "    command: [a, b]",
    "    environment: [A=1, B=1]",
    "    ports: ['80:80', '127.0.0.1:90:90']",
    "    volumes: [./a:/a, ./b:/b]",
    "    dns: 1.1.1.1",
    "    networks: [lan]",
    "    labels: {x: '1'}",
    "    healthcheck: {test: a, interval: 5s}",
    "    depends_on: [db]",
    "  db: {image: db}",
  ].join("\n");
  const over = [
    "networks: {lan: {nat: false}, far: }",
    "nodes:",
    "  web:",
    "    image: two",
    "    command: [c]",
    "    environment: {B: 2, C: 3}",
    "    ports: [{published: 80, target: 8080}, '91:91']",
    "    volumes: ['./other:/a:ro', ./c:/c]",
    "    dns: [2.2.2.2, 1.1.1.1]",
    "    networks: {lan: {aliases: [www]}, far: }",
    "    healthcheck: {tcp: 80}",
    "    depends_on: {new: {required: true}}",
    "  new: {image: new}",
  ].join("\n");

  it("merge mappings, replace scalars and lists, and put ports, volumes and variables in by key", () => {
    const project = load(base, { overrides: [{ file: "c.override.yaml", text: over }] });
    const web = node(project);
    assert.equal(web.spec.image, "two");
    assert.deepEqual(web.spec.command, ["c"]);
    assert.deepEqual(web.spec.env, { A: "1", B: "2", C: "3" });
    assert.deepEqual(
      web.spec.publish.map((one) => `${one.hostPort}:${one.guestPort}`),
      ["80:8080", "90:90", "91:91"],
    );
    assert.deepEqual(
      web.spec.volumes.map(({ source, target, readOnly }) => `${source}:${target}:${readOnly}`),
      ["/p/demo/other:/a:true", "/p/demo/b:/b:false", "/p/demo/c:/c:false"],
    );
    assert.deepEqual(web.spec.dns, ["1.1.1.1", "2.2.2.2"]);
    assert.deepEqual(web.spec.networks, [{ network: "demo-lan" }, { network: "demo-far" }]);
    assert.deepEqual(web.spec.aliases, ["web", "www"]);
    assert.equal(web.spec.labels["x"], "1");
    assert.deepEqual([web.healthcheck?.probe, web.healthcheck?.intervalMs], [{ kind: "tcp", port: 80 }, 5000]);
    assert.deepEqual([...web.dependsOn.keys()], ["db", "new"]);
    const lan = project.networks.get("lan" as never)?.spec;
    assert.deepEqual([lan?.mtu, lan?.nat], [1400, false]);
    assert.deepEqual([...project.nodes.keys()], ["web", "db", "new"]);
  });

  it("leave what they say nothing of, and are told where they are wrong", () => {
    assert.deepEqual(load(base, { overrides: [{ file: "o", text: "nodes: {web: , db: {image: }}\nnetworks: {lan: }" }] }), load(base));
    assert.deepEqual(
      faults(base, { overrides: [{ file: "o.yaml", text: "nodes:\n  web:\n    cpus: x\n    mem: [1]\n  gone: {depends_on: [wob]}" }] }),
      [
        "o.yaml:3:11: nodes.web.cpus: must be a number",
        "o.yaml:4:10: nodes.web.memory: must be a number or a string, not a list",
        'o.yaml:5:23: nodes.gone.depends_on.wob: there is no guest "wob" in this file (did you mean web?)',
      ],
    );
  });
});

describe("!reset and !override", () => {
  const base = [
    "networks: {lan: {mtu: 1400, nat: false}, gone: }",
    "nodes:",
    "  web:",
    "    image: one",
    "    memory: 64",
    "    environment: {A: '1', B: '1'}",
    "    ports: ['80:80', '81:81']",
    "    dns: [1.1.1.1]",
    "    networks: {lan: {aliases: [x]}, gone: }",
    "    healthcheck: {test: a, interval: 5s}",
    "    depends_on: [db]",
    "    labels: [a=1]",
    "  db: {image: db}",
  ].join("\n");
  const over = (...lines: string[]) => ({ overrides: lines.map((text, i) => ({ file: `o${i}.yaml`, text })) });
  const web = (...lines: string[]) => node(load(base, over(...lines)));
  const ports = (...lines: string[]) => web(...lines).spec.publish.map((one) => one.hostPort);

  it("take a value away, whatever stands after the tag, and it has its default again", () => {
    const reset = web(
      "nodes: {web: {ports: !reset [], memory: !reset null, environment: {A: !reset }, healthcheck: !reset {test: b}, depends_on: !reset x, labels: !override , dns: !reset }}",
    );
    assert.deepEqual([reset.spec.publish, reset.spec.mem, reset.spec.env, reset.spec.dns], [[], undefined, { B: "1" }, undefined]);
    assert.deepEqual([reset.healthcheck, reset.dependsOn.size, reset.spec.labels["a"]], [undefined, 0, undefined]);
    const project = load(
      base,
      over("networks: {gone: !reset }\nnodes: {db: !reset , web: {networks: {gone: !reset }, depends_on: !reset }}"),
    );
    assert.deepEqual([[...project.networks.keys()], [...project.nodes.keys()]], [["lan"], ["web"]]);
    assert.deepEqual(node(project).spec.networks, [{ network: "demo-lan" }]);
  });

  it("put a value in another's place instead of merging it", () => {
    const put = web(
      "networks: {lan: !override {mtu: 1300}}\nnodes: {web: {environment: !override [C=3], ports: !override ['90:90'], dns: !override 2.2.2.2, memory: !override 32}}",
    );
    assert.deepEqual(
      [put.spec.env, put.spec.publish.map((one) => one.hostPort), put.spec.dns, put.spec.mem],
      [{ C: "3" }, [90], ["2.2.2.2"], 32],
    );
    const lan = load(base, over("networks: {lan: !override {mtu: 1300}}")).networks.get("lan" as never)?.spec;
    assert.deepEqual([lan?.mtu, lan?.nat], [1300, true]);
    assert.deepEqual(web("nodes: {web: !override {image: two}}").spec.env, {});
  });

  it("hold for the files below, not for those above", () => {
    assert.deepEqual(ports("nodes: {web: {ports: !reset }}", "nodes: {web: {ports: ['90:90']}}"), [90]);
    assert.deepEqual(ports("nodes: {web: {ports: !override ['90:90']}}", "nodes: {web: {ports: ['91:91']}}"), [90, 91]);
    assert.deepEqual(ports("nodes: {web: {ports: ['90:90']}}", "nodes: {web: {ports: !reset }}"), []);
    assert.deepEqual(ports("nodes: {web: {environment: {A: !reset }}}"), [80, 81]);
  });

  it("reach through extends, to what is extended and to the files below", () => {
    const text =
      "nodes:\n  common: {ports: ['1:1'], environment: {A: a, B: b}}\n  web: {extends: common, ports: !reset , environment: {A: !reset , C: c}}\n  third: {extends: web, ports: ['3:3']}";
    const project = load(text);
    assert.deepEqual([node(project).spec.publish, node(project).spec.env], [[], { B: "b", C: "c" }]);
    assert.deepEqual(
      node(project, "third").spec.publish.map((one) => one.hostPort),
      [3],
    );
    assert.deepEqual(ports(text), []);
    assert.deepEqual(
      node(load("nodes: {third: {ports: ['80:80']}}", over(text)), "third").spec.publish.map((one) => one.hostPort),
      [3],
    );
  });

  it("in a single file change nothing, and other tags are refused as before", () => {
    assert.deepEqual(
      node(load("nodes: {web: {memory: !override 32, command: !override [a, !reset b], dns: !reset 1.1.1.1}}")).spec.command,
      ["a"],
    );
    assert.deepEqual(faults("nodes: {web: {memory: !overide 32, cpu: !!int 5}}"), ["c.yaml:1:23: Unresolved tag: !overide"]);
    assert.deepEqual(faults(base, over("nodes: {web: {cpus: !override x}}")), ["o0.yaml:1:31: nodes.web.cpus: must be a number"]);
  });
});

describe("extends", () => {
  it("puts a guest of this file or another below one, paths meant from where they stand", () => {
    const files = {
      "/p/base/common.yaml":
        "vms:\n  web:\n    extends: core\n    volumes: [./d:/d]\n    environment: {A: base, B: base}\n  core: {cpus: 3, image: ./disk.qcow2, env_file: x.env}\n",
      "/p/base/x.env": "E=1\n",
    };
    const text =
      "vms:\n  web:\n    extends: {file: ../base/common.yaml, service: web}\n    environment: {A: mine}\n    volumes: [./d:/e]\n  two: {extends: web, cpus: 4}";
    const project = load(text, { files });
    const { spec } = vm(project);
    assert.deepEqual([spec.cpus, spec.image, spec.env], [3, "/p/base/disk.qcow2", { E: "1", A: "mine", B: "base" }]);
    assert.deepEqual(
      spec.shares.map(({ source }) => source),
      ["/p/base/d", "/p/demo/d"],
    );
    assert.deepEqual([vm(project, "two").spec.cpus, vm(project, "two").spec.env["A"]], [4, "mine"]);
  });

  it("in a circle is refused with the circle, whether in one file or over two", () => {
    assert.deepEqual(
      faults("nodes: {a: {extends: b}, b: {extends: c}, c: {extends: a}, d: {extends: d}}"),
      [
        "c.yaml:1:22: nodes.a.extends: extends in a circle: b -> c -> a -> b",
        "c.yaml:1:39: nodes.b.extends: extends in a circle: c -> a -> b -> c",
        "c.yaml:1:56: nodes.c.extends: extends in a circle: a -> b -> c -> a",
        "c.yaml:1:73: nodes.d.extends: extends in a circle: d -> d",
      ].toSorted(),
    );
    const files = {
      "/p/demo/o.yaml": "nodes: {b: {extends: {file: c.yaml, service: a}}}",
      "/p/demo/c.yaml": "nodes: {a: {extends: {file: o.yaml, service: b}}}",
    };
    assert.equal(faults(files["/p/demo/c.yaml"], { files }).length > 0, true);
  });

  it("of what is not there says what may be meant", () => {
    const files = { "/p/demo/o.yaml": "nodes: {bee: }\nvms: {wasp: }", "/p/demo/bad.yaml": "nodes: [", "/p/demo/list.yaml": "- a" };
    const text = [
      "nodes:",
      "  a: {extends: wep}",
      "  web: {extends: {file: o.yaml, service: be}}",
      "  c: {extends: {file: o.yaml, service: wasp}}",
      "  d: {extends: {file: no.yaml, service: x}}",
      "  e: {extends: {file: bad.yaml, service: x}}",
      "  f: {extends: [a]}",
      "  g: {extends: {service: web, fil: x}}",
      "  h: {extends: {file: list.yaml, service: x}}",
    ].join("\n");
    assert.deepEqual(faults(text, { files }), [
      'c.yaml:2:16: nodes.a.extends: there is no node "wep" (did you mean web?)',
      'c.yaml:3:18: nodes.web.extends: there is no node "be" in o.yaml (did you mean bee?)',
      'c.yaml:4:16: nodes.c.extends: there is no node "wasp" in o.yaml (there is one under vms; a definition extends one of its own kind)',
      "c.yaml:5:23: there is no file no.yaml",
      "c.yaml:7:16: nodes.f.extends: must be a guest's name, or a mapping with service and file",
      "c.yaml:8:31: nodes.g.extends.fil: unknown key (known here: service, file)",
      "bad.yaml:1:9: Flow sequence in block collection must be sufficiently indented and end with a ]",
      "list.yaml:1:1: must be a mapping, not a list",
    ]);
  });
});
