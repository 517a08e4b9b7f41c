import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { GuestView } from "../../src/spec/views.ts";
import { until } from "../kernel/world/until.ts";
import { ProjectBed } from "./compose-bed.ts";
import { Bed } from "./recovery-bed.ts";

const shop = `
name: shop
networks: { lan: {} }
nodes:
  web:
    command: ["sh", "-c", "echo web is up; exec sleep 1000"]
    networks: [lan]
    stop_grace_period: 0s
    ports: ["18080:80"]
    depends_on: { db: { condition: service_healthy } }
  db:
    command: ["sh", "-c", "sleep 0.5; touch /tmp/ok; echo db is up; exec sleep 1000"]
    networks: [lan]
    stop_grace_period: 0s
    volumes: ["data:/data"]
    healthcheck: { test: "test -e /tmp/ok", interval: 300ms, retries: 100 }
volumes: { data: {} }
`;

describe("compose", () => {
  let bed: Bed;
  before(async () => {
    bed = await Bed.make();
  });
  after(async () => await bed[Symbol.asyncDispose]());

  const well = async (project: ProjectBed, ...args: string[]) => {
    const said = await project.run(...args);
    assert.equal(said.code, 0, `nexus ${args.join(" ")}: ${said.err}`);
    return said;
  };
  const guests = async (project: ProjectBed) => {
    const list = JSON.parse((await well(project, "ps", "--json")).out) as GuestView[];
    return new Map(list.map((guest) => [guest.name as string, guest]));
  };

  test("up brings guests in the order they need each other, again changes nothing, down leaves nothing but volumes", async () => {
    using project = new ProjectBed(bed, "any");
    project.write("nexus-compose.yaml", shop);
    const dry = await well(project, "up", "--dry-run");
    assert.deepEqual(dry.out.trim().split("\n"), [
      "create network shop-lan",
      "create volume shop-data",
      "create shop-db",
      "create shop-web",
    ]);
    assert.equal((await guests(project)).size, 0);

    const first = await well(project, "up", "--wait");
    assert.match(first.err, /✓ create shop-db\n[^]*✓ create shop-web\n[^]*shop-web is ready/);
    const up = await guests(project);
    assert.deepEqual([up.get("shop-db")?.health?.state, up.get("shop-web")?.state], ["healthy", "running"]);
    assert.equal((await well(project, "exec", "web", "--", "ping", "-c", "1", "-W", "2", "db")).code, 0);
    const logs = await well(project, "logs");
    assert.match(logs.out, /^web │ web is up$/m);
    assert.match(logs.out, /^db {2}│ db is up$/m);

    project.write("word", "copied\n");
    await well(project, "cp", "word", "web:/tmp/word");
    assert.equal((await well(project, "cp", "web:/tmp/word", "-")).out, "copied\n");
    const following = project.start("logs", "-f", "--tail", "1", "web");
    setTimeout(() => following.kill("SIGINT"), 1500);
    assert.match((await following.said).out, /^web │ web is up$/m);

    const again = await well(project, "up");
    assert.match(again.out, /^shop is as its file says\n/);
    assert.equal(again.err, "");
    assert.deepEqual(
      [...(await guests(project)).values()].map((g) => g.pid),
      [...up.values()].map((g) => g.pid),
    );

    const down = await well(project, "down");
    assert.match(down.err, /removed shop-web\n[^]*removed shop-db\n[^]*removed network shop-lan/);
    const volumes = async () => (await bed.client.call("volume.list")).map((volume) => volume.name as string);
    assert.deepEqual(await volumes(), ["shop-data"]);
    await well(project, "down", "--volumes");
    assert.deepEqual(await volumes(), []);
    assert.match((await well(project, "down")).out, /nothing of this project is there/);
    await bed.allIsWell();
  });

  test("what the kernel can change is changed in place; the rest is made anew, after saying why; nothing else is touched", async () => {
    using project = new ProjectBed(bed, "any");
    project.write("nexus-compose.yaml", shop);
    await well(project, "up", "--wait");
    const before = await guests(project);
    project.write(
      "nexus-compose.yaml",
      shop.replace("18080:80", "18081:80").replace("networks: { lan: {} }", "networks: { lan: { nat: false } }"),
    );
    const inPlace = await well(project, "up");
    assert.match(inPlace.err, /change network shop-lan in place: nat[^]*change shop-web in place: ports/);
    const changed = await guests(project);
    assert.deepEqual(
      [...changed.values()].map((g) => g.pid),
      [...before.values()].map((g) => g.pid),
    );
    assert.equal(changed.get("shop-web")?.publish[0]?.hostPort, 18081);
    await bed.allIsWell();

    project.write("nexus-compose.yaml", shop.replace("echo web is up", "echo web is new").replace("18080:80", "18081:80"));
    const anew = await well(project, "up");
    assert.match(anew.err, /recreate shop-web: changed: command/);
    const after = await guests(project);
    assert.notEqual(after.get("shop-web")?.pid, before.get("shop-web")?.pid);
    assert.equal(after.get("shop-db")?.pid, before.get("shop-db")?.pid);
    assert.deepEqual(
      after.get("shop-web")?.attachments[0]?.addresses,
      before.get("shop-web")?.attachments[0]?.addresses,
      "it keeps its address",
    );
    await well(project, "down", "-v");
    await bed.allIsWell();
  });

  test("what two guests need and cannot have is said once, and is no defect", async () => {
    using project = new ProjectBed(bed, "any");
    const needs = `{ command: sleep 1000, depends_on: { db: { condition: service_healthy } } }`;
    const db = `{ command: sleep 1000, stop_grace_period: 0s, healthcheck: { test: "exit 3", interval: 100ms, retries: 1 } }`;
    project.write("nexus-compose.yaml", `name: shop\nnodes: { db: ${db}, one: ${needs}, two: ${needs} }\n`);
    const said = await project.run("up");
    assert.equal(said.code, 5);
    assert.equal(said.err.match(/shop-db will not be healthy/g)?.length, 1, said.err);
    assert.doesNotMatch(said.err, /defect|\.ts:/);
    await well(project, "down");
    await bed.allIsWell();
  });

  test("a change that is refused leaves the guest as it was", async () => {
    using project = new ProjectBed(bed, "any");
    project.write(
      "nexus-compose.yaml",
      "nodes: {a: {stop_grace_period: 0s, command: [sleep, '1000'], ports: ['18090:80']}, b: {stop_grace_period: 0s, command: [sleep, '1000'], ports: ['18091:80']}}",
    );
    await well(project, "up");
    const clash = await bed.client
      .call("guest.change", { params: { name: "any-b" }, body: { publish: [{ hostPort: 18090, guestPort: 80 }] } })
      .then(
        () => assert.fail("both have the port"),
        (error: { code: string; message: string }) => error,
      );
    assert.equal(clash.code, "port-taken");
    assert.match(clash.message, /any-a/);
    assert.equal((await bed.node("any-b")).publish[0]?.hostPort, 18091);
    await bed.client.call("guest.change", {
      params: { name: "any-b" },
      body: { publish: [{ hostPort: 18092, guestPort: 80 }], mem: 64, restart: "always" },
    });
    const { publish, limits, spec } = await bed.node("any-b");
    assert.deepEqual([publish[0]?.hostPort, limits?.memoryBytes, spec?.restart], [18092, 64 * 1024 * 1024, "always"]);
    await bed.daemon.end("SIGKILL");
    await bed.daemon.start();
    const later = await bed.node("any-b");
    assert.deepEqual([later.publish[0]?.hostPort, later.limits?.memoryBytes, later.spec?.restart], [18092, 64 * 1024 * 1024, "always"]);
    await bed.allIsWell();
    await well(project, "down");
  });

  test("two projects of one name in different directories do not touch each other", async () => {
    using one = new ProjectBed(bed, "same");
    using two = new ProjectBed(bed, "same");
    for (const project of [one, two])
      project.write(
        "nexus-compose.yaml",
        "nodes: {a: {stop_grace_period: 0s, command: [sleep, '1000'], volumes: ['kept:/k']}}\nvolumes: {kept: {}}",
      );
    await well(one, "up");
    const refused = await two.run("up");
    assert.equal(refused.code, 5, refused.err);
    assert.match(refused.err, /it is of the project same in /);
    assert.equal((await guests(two)).size, 0);
    assert.match((await well(two, "down", "-v")).out, /nothing of this project/);
    assert.ok(
      (await bed.client.call("volume.list")).some((volume) => volume.name === "same-kept"),
      "its data is another project's",
    );
    assert.equal((await guests(one)).get("same-a")?.state, "running");
    await well(two, "up", "--project-name", "other");
    assert.deepEqual([...(await guests(two)).keys()], ["other-a"]);
    await well(one, "down", "-v");
    assert.equal((await guests(two)).get("other-a")?.state, "running");
    await well(two, "down");
    await bed.allIsWell();
  });

  test("two at once take turns; one interrupted leaves what the next goes on from", async () => {
    using project = new ProjectBed(bed, "turns");
    project.write("nexus-compose.yaml", shop);
    const both = await Promise.all([project.run("up"), project.run("up")]);
    assert.deepEqual(
      both.map((said) => said.code),
      [0, 0],
      both.map((said) => said.err).join("\n"),
    );
    assert.equal(both.filter((said) => said.out.includes("is as its file says")).length, 1);
    await well(project, "down", "-v");

    project.write("nexus-compose.yaml", shop.replace("sleep 0.5; touch", "sleep 600; touch"));
    const waiting = project.start("up");
    await until("db runs", async () => (await guests(project)).get("shop-db")?.state === "running");
    waiting.kill("SIGINT");
    const { code, err } = await waiting.said;
    assert.notEqual(code, 0);
    assert.match(err, /interrupted[^]*nexus up goes on from here/);
    assert.deepEqual([...(await guests(project)).keys()], ["shop-db"]);
    await bed.allIsWell();
    await well(project, "down", "-v");
  });

  test("a guest whose need fails is not started, and it is said why", async () => {
    using project = new ProjectBed(bed, "needs");
    project.write(
      "nexus-compose.yaml",
      `nodes:
  job: {command: [sh, -c, "echo it broke; exit 3"]}
  after: {stop_grace_period: 0s, command: [sleep, '1000'], depends_on: {job: {condition: service_completed_successfully}}}
`,
    );
    const { code, err } = await project.run("up");
    assert.notEqual(code, 0);
    assert.match(err, /needs-job will not be completed: it is exited with code 3; its last words: it broke/);
    assert.deepEqual([...(await guests(project)).keys()], ["needs-job"]);
    project.write(
      "nexus-compose.yaml",
      `nodes:
  job: {command: ["true"]}
  after: {stop_grace_period: 0s, command: [sleep, '1000'], depends_on: {job: {condition: service_completed_successfully}}}
`,
    );
    await well(project, "up");
    assert.equal((await guests(project)).get("needs-after")?.state, "running");
    await well(project, "down");
  });

  test("faults of the file are told with their places, and nothing is begun", async () => {
    using project = new ProjectBed(bed, "wrong");
    project.write(
      "nexus-compose.yaml",
      "nodes:\n  a: {comand: [x], depends_on: [b]}\n  b: {depends_on: [a], networks: [lna]}\nnetworks: {lan: {}}\n",
    );
    const { code, err } = await project.run("up");
    assert.equal(code, 2);
    for (const words of [
      /nexus-compose\.yaml:2:\d+.*comand/,
      /did you mean command/,
      /nexus-compose\.yaml:\d+:\d+.*lna/,
      /did you mean lan/,
    ])
      assert.match(err, words);
    const nowhere = await new ProjectBed(bed, "empty").run("ps");
    assert.equal(nowhere.code, 4);
    assert.match(nowhere.err, /there is no nexus-compose\.yaml/);
  });

  test("overrides, profiles, variables and guests that are gone from the file", async () => {
    using project = new ProjectBed(bed, "more");
    project.write(
      "nexus-compose.yaml",
      'nodes: {a: {command: [sh, -c, "echo $${WORD}; sleep 1000"], stop_grace_period: 0s, environment: {WORD: "${WORD:-none}"}}, debug: {profiles: [debug], command: [sleep, "1000"]}}',
    );
    project.write("nexus-compose.override.yaml", "nodes: {a: {environment: {MORE: over}}}");
    project.write(".env", "WORD=from-env\n");
    await well(project, "up");
    assert.match((await well(project, "exec", "a", "--", "env")).out, /^WORD=from-env$[^]*^MORE=over$|^MORE=over$[^]*^WORD=from-env$/m);
    assert.deepEqual([...(await guests(project)).keys()], ["more-a"]);
    await well(project, "up", "--profile", "debug");
    assert.equal((await guests(project)).size, 2);
    project.write("nexus-compose.yaml", "nodes: {debug: {profiles: [debug], stop_grace_period: 0s, command: [sleep, '1000']}}");
    project.write("nexus-compose.override.yaml", "{}");
    assert.match((await well(project, "up")).err, /there still is: more-a; --remove-orphans/);
    const { err } = await well(project, "up", "--remove-orphans");
    assert.ok(!err.includes("there still is"), err);
    assert.deepEqual([...(await guests(project)).keys()], ["more-debug"]);
    await well(project, "down");
    await bed.allIsWell();
  });
});
