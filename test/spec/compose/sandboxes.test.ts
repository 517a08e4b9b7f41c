import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { changes } from "../../../src/spec/compose/changes.ts";
import type { Present, PresentRun } from "../../../src/spec/compose/present.ts";
import { faults, load } from "./load-text.ts";
import { withSealedEnvironments } from "../../../src/spec/compose/sealed.ts";
import { nothing, presentAfter } from "./present-after.ts";

const sandbox = (text: string, name = "job", given = {}) => {
  const found = [...load(text, given).sandboxes.values()].find((one) => one.service === name);
  return found ?? assert.fail(`no sandbox ${name}`);
};

describe("sandboxes of a file", () => {
  it("are runs as `nexus run` makes them, with the same defaults", () => {
    const { name, spec } = sandbox("sandboxes: {job: {command: \"sh -c 'a b'\"}}");
    const { labels, ...rest } = spec;
    assert.equal(name, "demo-job");
    assert.deepEqual(rest, {
      command: ["sh", "-c", "a b"],
      profile: "untrusted",
      net: { allow: [] },
      env: {},
      timeoutMs: 300_000,
      graceMs: 3000,
      mem: 512,
      cpus: 1,
      pids: 256,
      disk: 1024 ** 3,
      outputLimit: 2 * 1024 ** 2,
    });
    assert.deepEqual(
      { ...labels, "nexus.config": "" },
      {
        "nexus.config": "",
        "nexus.directory": "/p/demo",
        "nexus.project": "demo",
        "nexus.service": "job",
      },
    );
  });

  it("take every key, and their paths are meant from the file", () => {
    const text = `
sandboxes:
  job:
    command: [make, test]
    profile: trusted
    driver: podman
    image: ./tools
    net: allowlist
    allow: ["API.example.com:443", "*.debian.org:80/tcp"]
    facility: ./src
    cwd: deep
    environment: { A: $WHO, B: 1 }
    env_file: e
    timeout: 1h
    stop_grace_period: 2s
    mem: 1G
    cpus: "0.5"
    pids: 10
    disk: 2G
    output_limit: 64K
    profiles: [ci]
    labels: { tier: x }
`;
    const made = sandbox(text, "job", { files: { "/p/demo/e": "A=low\nC=3\n" }, env: { WHO: "me" }, profiles: ["ci"] });
    const { labels, ...spec } = made.spec;
    assert.deepEqual([made.active, made.profiles, labels["tier"]], [true, ["ci"], "x"]);
    assert.deepEqual(spec, {
      command: ["make", "test"],
      profile: "trusted",
      driver: "podman",
      image: "/p/demo/tools",
      net: { mode: "allowlist", allow: ["api.example.com:443", "*.debian.org:80"] },
      facility: "/p/demo/src",
      cwd: "deep",
      env: { A: "me", B: "1", C: "3" },
      timeoutMs: 3_600_000,
      graceMs: 2000,
      mem: 1024,
      cpus: 0.5,
      pids: 10,
      disk: 2 * 1024 ** 3,
      outputLimit: 64 * 1024,
    });
    assert.equal(sandbox(text.replace("./src", "work"), "job", { files: { "/p/demo/e": "" } }).spec.facility, "work");
    assert.equal(
      sandbox(text.replace("./src", "~/src"), "job", { files: { "/p/demo/e": "" }, env: { HOME: "/h" } }).spec.facility,
      "/h/src",
    );
  });

  it("have a root file system of their own, meant from the file", () => {
    const rootfs = (text: string) => sandbox(`sandboxes: {job: {command: a, rootfs: "${text}"}}`).spec.rootfs;
    const address = `https://example.org/r#sha256:${"0".repeat(64)}`;
    assert.deepEqual(["host", "auto", address].map(rootfs), ["host", "auto", address]);
    assert.deepEqual(["./root", "root.tar", "/srv/root"].map(rootfs), ["/p/demo/root", "/p/demo/root.tar", "/srv/root"]);
    assert.deepEqual(faults("sandboxes: {job: {command: a, rootfs: 'http://x/y'}, on: {command: a, image: alpine}}"), [
      "c.yaml:1:39: sandboxes.job.rootfs: needs the sum its archive must have: URL#sha256:DIGITS",
      "c.yaml:1:78: sandboxes.on.image: profile untrusted runs on no image: profile trusted does, and untrusted has a rootfs",
    ]);
  });

  it("extend each other, and are put over each other", () => {
    const { spec } = sandbox("sandboxes: {base: {command: a, env: {A: 1}}, job: {extends: base, env: {B: 2}}}", "job", {
      overrides: [{ file: "o.yaml", text: "sandboxes: {job: {command: b}}" }],
    });
    assert.deepEqual([spec.command, spec.env], [["b"], { A: "1", B: "2" }]);
  });

  it("have all their faults told at once, each at its place", () => {
    const text = [
      "nodes: {web: {depends_on: {job: {condition: healthy}, jbo: {}}}, job: {}}",
      "sandboxes:",
      "  one: {command: id, timeot: 5s, profil: host}",
      "  two: {profile: [ci], command: a, net: host}",
      "  three: {command: '\"a', net: host, allow: [nowhere]}",
      "  four: {command: a, profile: host, net: none, timeout: 0}",
      "  five: {command: a, disk: 0, mem: 1, allow: ['a.example:443', 'a.example:443/tcp']}",
      "  six: {command: ''}",
      "  seven: {}",
      "  job: {command: a, extends: web}",
      "  Nine: {command: a, labels: {nexus.x: y}, depends_on: [web]}",
    ].join("\n");
    assert.deepEqual(faults(text), [
      "c.yaml:1:28: nodes.web.depends_on.job: waits for the health of job, which has no healthcheck (give job a healthcheck, or wait for it to be started)",
      'c.yaml:1:55: nodes.web.depends_on.jbo: there is no guest "jbo" in this file (did you mean job?)',
      "c.yaml:3:22: sandboxes.one.timeot: unknown key (did you mean timeout?)",
      "c.yaml:3:34: sandboxes.one.profil: unknown key (did you mean profile?)",
      'c.yaml:4:18: sandboxes.two.profile: must be "untrusted", "trusted", "host" or "darwin-automation", not a list',
      "c.yaml:4:41: sandboxes.two.net: profile untrusted never has the host's network: unrestricted lets it reach every public name",
      'c.yaml:5:20: sandboxes.three.command: a " is not closed',
      "c.yaml:5:31: sandboxes.three.net: profile untrusted never has the host's network: unrestricted lets it reach every public name",
      'c.yaml:5:45: sandboxes.three.allow[0]: "nowhere" has no port; write nowhere:443',
      "c.yaml:6:42: sandboxes.four.net: profile host has the host's network, and cannot be kept from it: profile untrusted can",
      "c.yaml:6:57: sandboxes.four.timeout: must be 1ms to 7d",
      'c.yaml:7:28: sandboxes.five.disk: "0": it is no size; write a whole number, with K, M, G or T: 512M, 10G',
      "c.yaml:7:36: sandboxes.five.memory: must be 4 MiB to 16 TiB",
      'c.yaml:7:64: sandboxes.five.allow[1]: "a.example:443/tcp" contradicts "a.example:443"',
      "c.yaml:8:18: sandboxes.six.command: must have at least 1 entry",
      "c.yaml:9:10: sandboxes.seven.command: must be a string or a list, not undefined",
      "c.yaml:10:3: sandboxes.job: a node of this file has the same name",
      'c.yaml:10:30: sandboxes.job.extends: there is no sandbox "web" (there is one under nodes; a definition extends one of its own kind)',
      'c.yaml:11:9: sandboxes.Nine: "Nine" is no name; use lower-case letters, digits and "-", not at the ends (write nine)',
      "c.yaml:11:31: sandboxes.Nine.labels.nexus.x: labels that begin with nexus. are Nexus's own",
    ]);
  });

  it("name guests of the file without the project, which must be there and have an address", () => {
    const text = (allow: string) => `
nodes: {db: {}}
vms: {web: {}, apart: {networks: [default]}}
sandboxes: {job: {command: a, allow: [${allow}]}}
networks: {default: {}}
`;
    assert.deepEqual(sandbox(text("'DB:5432/tcp', 'db:443/tls', db.demo.nexus:80, apart:22")).spec.net.allow, [
      "db:5432",
      "db:443",
      "db.demo.nexus:80",
      "apart:22",
    ]);
    assert.deepEqual(faults(text("db:80, dbb:80, nowhere:80, web:80, job:80")), [
      'c.yaml:4:46: sandboxes.job.allow[1]: there is no guest "dbb" in this file (did you mean db?)',
      'c.yaml:4:54: sandboxes.job.allow[2]: there is no guest "nowhere" in this file (names of other hosts have a dot)',
      "c.yaml:4:66: sandboxes.job.allow[3]: web is on no network, so it has no address (give web networks)",
      'c.yaml:4:74: sandboxes.job.allow[4]: there is no guest "job" in this file (names of other hosts have a dot)',
    ]);
    assert.deepEqual(faults(text("'db:443/tcp', 'db.demo.nexus:443'")), [
      'c.yaml:4:53: sandboxes.job.allow[1]: "db.demo.nexus:443" contradicts "db.demo.nexus:443/tcp"',
    ]);
    assert.deepEqual(faults(text("db")), ['c.yaml:4:39: sandboxes.job.allow[0]: "db" has no port; write db:443']);
  });

  it("say what they have in place of what guests have", () => {
    assert.deepEqual(faults("sandboxes: {job: {command: a, networks: [lan], volumes: ['./a:/b']}}"), [
      "c.yaml:1:31: sandboxes.job.networks: unknown key (a sandbox is on no network: allow has the names it may connect to)",
      "c.yaml:1:48: sandboxes.job.volumes: unknown key (what a sandbox works on is its facility)",
    ]);
  });

  it("complete for others, and cannot be healthy", () => {
    const text = (condition: string) => `
nodes: {web: {depends_on: {job: {condition: ${condition}}}}}
sandboxes: {job: {command: a, depends_on: [db]}, late: {command: b, depends_on: {web: {condition: started}}}}
vms: {db: {}}
`;
    assert.deepEqual(
      changes(load(text("service_completed_successfully")), nothing).flatMap(({ kind, text }) => (/guest|run/.test(kind) ? [text] : [])),
      ["create demo-db", "run demo-job", "create demo-web", "run demo-late"],
    );
    assert.deepEqual(faults(text("healthy")), [
      "c.yaml:2:28: nodes.web.depends_on.job: waits for the health of job, which is a sandbox (wait for it to be completed)",
    ]);
    assert.match(
      faults("sandboxes: {a: {command: x, depends_on: [b]}, b: {command: x, depends_on: [a]}}").join(),
      /goes round in a circle: a -> b -> a/,
    );
  });
});

describe("what up does with sandboxes", () => {
  const text = "sandboxes: {job: {command: make, env: {KEY: secret}, facility: work}}";
  const sealed = (asked: string, key = 1) => withSealedEnvironments(load(asked), Buffer.alloc(32, key));
  const project = sealed(text);
  const done = presentAfter(nothing, changes(project, nothing));
  const [run] = done.runs;
  const as = (change: Partial<PresentRun>): Present => ({ ...done, runs: done.runs.map((one) => ({ ...one, ...change })) });
  const texts = (next: string, present: Present, options = {}) => changes(sealed(next), present, options).map((action) => action.text);

  it("nothing while one of the same spec goes on or has succeeded", () => {
    assert.deepEqual(texts(text, nothing), ["run demo-job"]);
    assert.deepEqual(texts(text, JSON.parse(JSON.stringify(done)) as Present), [], "as the API gives it");
    for (const state of ["starting", "running"] as const) assert.deepEqual(texts(text, as({ state })), [], state);
    assert.deepEqual(texts(text.replace("facility: work", "facility: work, depends_on: {}, profiles: []"), done), [], "compose's own");
  });

  it("runs again what ended otherwise, and says how it ended", () => {
    assert.deepEqual(texts(text, as({ state: "failed", code: 3 })), ["run demo-job again: it ended as failed (exit code 3)"]);
    for (const state of ["timed-out", "cancelled", "lost", "refused"] as const)
      assert.deepEqual(texts(text, as({ state })), [`run demo-job again: it ended as ${state}`]);
  });

  it("runs again what is asked otherwise, whatever became of it, and shows no secret", () => {
    for (const state of ["running", "succeeded", "failed"] as const) {
      assert.deepEqual(texts(text.replace("make", "cmake"), as({ state })), ["run demo-job again: changed: command"]);
      assert.deepEqual(texts(text.replace("secret", "other"), as({ state })), ["run demo-job again: changed: environment"]);
    }
    const [action] = changes(load(text.replace("make", "cmake")), as({ state: "running" }));
    assert.deepEqual(action?.kind === "create-run" && action.replaces, [run?.id], "the one before is cancelled and forgotten");
  });

  it("nobody can guess at the values of an environment by what is told of a run", () => {
    const labels = (asked: string, key?: number) => [...sealed(asked, key).sandboxes.values()][0]?.spec.labels;
    assert.equal(labels(text)?.["nexus.config"], labels(text.replace("secret", "other"))?.["nexus.config"]);
    assert.notDeepEqual(labels(text), labels(text, 2), "whoever has another key makes another label of the same");
    assert.deepEqual(changes(sealed(text.replace("secret", "other"), 2), done), [], "what another user sealed says nothing");
    assert.equal(labels(text.replace("env: {KEY: secret}, ", ""))?.["nexus.environment"], undefined);
  });

  it("the newest run counts", () => {
    const older = { ...(run ?? assert.fail()), id: "old", state: "failed" as const };
    assert.deepEqual(texts(text, { ...done, runs: [...done.runs, older] }), []);
    assert.deepEqual(texts(text, { ...done, runs: [older, ...done.runs] }), ["run demo-job again: it ended as failed (exit code 0)"]);
  });

  it("takes no other project's run for its own, and none by hand", () => {
    const label = (labels: Record<string, string>) =>
      as({ spec: { ...(run ?? assert.fail()).spec, labels: { ...run?.spec.labels, ...labels } } });
    assert.deepEqual(texts(text, label({ "nexus.directory": "/elsewhere" })), ["run demo-job"]);
    assert.deepEqual(texts(text, label({ "nexus.project": "other" })), ["run demo-job"]);
  });

  it("removes runs the file has no more only when orphans go", () => {
    const gone = "sandboxes: {other: {command: a, profiles: [off]}}";
    assert.deepEqual(texts(gone, done), []);
    assert.deepEqual(texts(gone, done, { removeOrphans: true }), ["remove demo-job: the file has it no more"]);
    assert.deepEqual(presentAfter(done, changes(load(gone), done, { removeOrphans: true })).runs, []);
  });

  it("leaves out those whose profiles are off", () => {
    assert.deepEqual(texts("sandboxes: {job: {command: make, profiles: [ci]}}", nothing), []);
  });
});
