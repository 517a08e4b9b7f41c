import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { RunView } from "../../src/spec/run-view.ts";
import { until } from "../kernel/world/until.ts";
import { ProjectBed } from "./compose-bed.ts";
import { Bed } from "./recovery-bed.ts";

const shop = `
name: shop
sandboxes:
  migrate:
    profile: host
    command: ["sh", "-c", "echo begun >> log; echo first; echo migrated; echo on stderr >&2"]
    facility: ./data
    environment: { KEY: one }
    depends_on: [db]
  watch: { profile: host, command: sleep 1000, facility: ./data, timeout: 1h, profiles: [watch] }
nodes:
  db: { command: [sleep, "1000"], stop_grace_period: 0s }
  web: { command: [sleep, "1000"], stop_grace_period: 0s, depends_on: { migrate: { condition: service_completed_successfully } } }
`;

const serves = (page: string) => `
    command: [sh, -c, "mkdir /www; echo ${page} >/www/index.html; httpd -p 81 -h /www; exec httpd -f -p 5432 -h /www"]
    stop_grace_period: 0s
    healthcheck: { tcp: 5432, interval: 1s }`;
const asks = (profile: string, allow: string) => `
    profile: ${profile}
    allow: [${allow}]
    command:
      - sh
      - -c
      - |
        for place in db:5432 db.shop.nexus:5432 db:81 web:5432 web.shop.nexus:5432 10.9.8.10:5432; do
          echo "$$place $$(busybox wget -qO- http://$$place/ 2>&1)"
        done
    depends_on: { db: { condition: healthy }, web: { condition: healthy } }`;
const reaching = `
name: shop
networks:
  back: { subnet: 10.9.8.0/24, internal: true, isolation: guests, egress: { mode: none } }
  apart: { subnet: 10.9.9.0/24 }
nodes:
  db:${serves("rows")}
    networks: { back: { address: 10.9.8.10 } }
  web:${serves("page")}
    networks: [apart]
sandboxes:
  trusted:${asks("trusted", '"db:5432"')}
  untrusted:${asks("untrusted", '"db:5432"')}
  wide:${asks("untrusted", '"*.shop.nexus:5432", "*.nexus.example:5432"')}
`;

describe("sandboxes of a compose file", { timeout: 240_000 }, () => {
  let bed: Bed;
  before(async () => {
    bed = await Bed.make();
  });
  after(async () => await bed[Symbol.asyncDispose]());

  const make = (text: string): ProjectBed => {
    const project = new ProjectBed(bed, "shop");
    mkdirSync(join(project.directory, "data"));
    project.write("nexus-compose.yaml", text);
    return project;
  };
  const well = async (project: ProjectBed, ...args: string[]) => {
    const said = await project.run(...args);
    assert.equal(said.code, 0, `nexus ${args.join(" ")}: ${said.err}`);
    return said;
  };
  const runs = () => bed.client.call("run.list", { query: {} });
  const begun = (project: ProjectBed) => readFileSync(join(project.directory, "data/log"), "utf8").split("\n").length - 1;
  type Row = RunView & { kind: string; name: string; service?: string };
  const sandbox = async (project: ProjectBed, service: string) => {
    const rows = JSON.parse((await well(project, "ps", "--json")).out) as Row[];
    return rows.find((row) => row.kind === "sandbox" && row.service === service);
  };

  test("up runs them once, before those that wait for their end; they are listed, logged, inspected, and gone after down", async () => {
    using project = make(shop);
    assert.deepEqual((await well(project, "up", "--dry-run")).out.trim().split("\n"), [
      "create network shop-default",
      "create shop-db",
      "run shop-migrate",
      "create shop-web",
    ]);
    assert.equal((await runs()).length, 0);
    const first = await well(project, "up", "--wait");
    assert.match(first.err, /✓ create shop-db\n[^]*✓ run shop-migrate\n[^]*✓ create shop-web\n[^]*✓ shop-migrate has succeeded/);
    assert.match(first.out, /^shop-migrate {2}succeeded \(0\)/m);
    assert.equal(begun(project), 1);
    assert.match((await well(project, "up")).out, /^shop is as its file says\n/);
    assert.equal(begun(project), 1, "it has succeeded: nothing is run again");

    const row = await sandbox(project, "migrate");
    assert.deepEqual([row?.name, row?.state, row?.code], ["shop-migrate", "succeeded", 0]);
    assert.match((await well(project, "ps")).out, /^migrate +shop-migrate +sandbox +succeeded \(0\)/m);
    const logs = (await well(project, "logs")).out;
    assert.match(logs, /^migrate │ migrated$/m);
    assert.match(logs, /^migrate │ on stderr$/m);
    assert.deepEqual((await well(project, "logs", "--tail", "1", "migrate")).out.split("\n").toSorted(), [
      "",
      "migrate │ migrated",
      "migrate │ on stderr",
    ]);
    assert.equal((JSON.parse((await well(project, "inspect", "migrate", "--json")).out) as RunView).id, row?.id);
    for (const verb of ["start", "stop", "restart"]) {
      const refused = await project.run(verb, "db", "migrate");
      assert.equal(refused.code, 5);
      assert.match(
        refused.err,
        /migrate is a sandbox, which runs once: only guests are started and stopped\n +it is succeeded; `nexus up migrate`/,
      );
    }
    assert.match((await well(project, "compose", "config")).out, /sandboxes:\n {2}migrate:\n {4}command:/);

    const down = await well(project, "down");
    assert.match(down.err, /removed shop-migrate\n/);
    assert.deepEqual(await runs(), []);
    await bed.allIsWell();
  });

  test("one that failed holds up those that need it, and is run again; so is one that is described otherwise", async () => {
    const failing = shop.replace("echo migrated", "test -e ready || exit 3");
    using project = make(failing);
    const refused = await project.run("up");
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, /shop-migrate will not be completed: it is failed with exit code 3/);
    assert.equal((await sandbox(project, "migrate"))?.code, 3);
    project.write("data/ready", "");
    assert.match((await well(project, "up", "--wait")).err, /✓ run shop-migrate again: it ended as failed \(exit code 3\)\n/);
    assert.equal((await runs()).length, 1, "the failed one is forgotten");
    project.write("nexus-compose.yaml", failing.replace("KEY: one", "KEY: two"));
    assert.match((await well(project, "up", "--wait")).err, /✓ run shop-migrate again: changed: environment\n/);
    assert.equal(begun(project), 3);
    await well(project, "down");
  });

  test("down ends one that goes on, also when the file cannot be read any more", async () => {
    using project = make(shop);
    await well(project, "up", "watch");
    assert.equal((await sandbox(project, "watch"))?.state, "running");
    assert.equal(existsSync(join(project.directory, "data/log")), false, "only what was named is run");
    assert.match((await well(project, "up", "watch")).out, /^shop is as its file says\n/);
    project.write("nexus-compose.yaml", shop.replace("sleep 1000,", "sleep 1001,"));
    assert.match((await well(project, "up", "watch")).err, /✓ run shop-watch again: changed: command\n/);
    assert.equal((await runs()).length, 1);
    project.write("nexus-compose.yaml", "sandboxes: [");
    await well(project, "down");
    await until("nothing of it is left", async () => (await runs()).length === 0);
    await bed.allIsWell();
  });

  test("reach a guest of their project that is named with its port, and nothing else of it", async () => {
    using project = make(reaching);
    const said = await well(project, "up", "--wait");
    const forbidden = "wget: server returned error: HTTP/1.1 403 Forbidden";
    const answers = (own: string) => [
      `db:5432 ${own}`,
      `db.shop.nexus:5432 ${own}`,
      ...["db:81", "web:5432", "web.shop.nexus:5432", "10.9.8.10:5432"].map((place) => `${place} ${forbidden}`),
    ];
    for (const service of ["trusted", "untrusted"]) {
      const { id } = (await sandbox(project, service)) ?? assert.fail(said.err);
      assert.deepEqual((await bed.nexus("run", "logs", id)).out.trim().split("\n"), answers("rows"), service);
      const audit = (await bed.nexus("run", "logs", id, "--audit")).out.trim().split("\n");
      const [first] = audit.map((line) => JSON.parse(line) as Record<string, unknown>);
      assert.deepEqual([first?.["name"], first?.["address"], first?.["rule"]], ["db", "10.9.8.10", "db.shop.nexus:5432"]);
    }
    const { id: wide } = (await sandbox(project, "wide")) ?? assert.fail(said.err);
    assert.doesNotMatch((await bed.nexus("run", "logs", wide)).out, /rows|page/);

    const asked = (allow: string, place = allow) =>
      bed.nexus("run", "--profile", "trusted", "--allow", allow, "--", "wget", "-qO-", `http://${place}/`);
    assert.equal((await asked("web.shop.nexus:5432")).out, "page\n", "whoever runs a command may name any guest");
    assert.equal((await asked("shop-web.shop-apart.nexus:81")).out, "page\n");
    assert.match((await asked("db:5432")).err, /--allow: "db:5432" has no dot/);
    assert.match((await asked("gateway.shop-apart.nexus:5432")).err, /502 Bad Gateway/);
    await well(project, "stop", "web");
    assert.match((await asked("web.shop.nexus:5432")).err, /502 Bad Gateway/);
    await well(project, "down");
    await bed.allIsWell();
  });
});
