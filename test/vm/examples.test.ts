import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { GuestView } from "../../src/spec/views.ts";
import { ProjectBed } from "../e2e/compose-bed.ts";
import { root } from "../e2e/quickstart-bed.ts";
import { Bed } from "../e2e/recovery-bed.ts";
import { until } from "../kernel/world/until.ts";

describe("the examples with virtual machines do what they say", { timeout: 500_000 }, () => {
  let bed: Bed;
  before(async () => {
    bed = await Bed.make();
  });
  after(async () => await bed[Symbol.asyncDispose]());

  /** The example brought up in a directory of its own, and taken down after `look`. */
  async function withExample(
    file: string,
    look: (run: (...args: string[]) => Promise<string>, guests: Map<string, GuestView>) => Promise<void>,
  ) {
    using project = new ProjectBed(bed, "example");
    cpSync(join(root, file), join(project.directory, "nexus-compose.yaml"));
    const run = async (...args: string[]) => {
      const { code, out, err } = await project.run(...args);
      assert.equal(code, 0, `nexus ${args.join(" ")}: ${err}`);
      return out;
    };
    await run("up", "--wait");
    try {
      const list = JSON.parse(await run("ps", "--json")) as GuestView[];
      for (const { name } of list) bed.daemon.named.add(name);
      await look(run, new Map(list.map((guest) => [guest.spec?.labels["nexus.service"] ?? "", guest])));
      assert.match(await run("up"), /is as its file says/);
    } finally {
      await run("down", "-v");
    }
    await bed.allIsWell();
  }

  const page = async (url: string) => {
    let said = "";
    await until(
      `${url} answers`,
      async () => {
        said = await fetch(url, { signal: AbortSignal.timeout(2000) }).then(
          (answer) => answer.text(),
          () => "",
        );
        return said !== "";
      },
      30_000,
    );
    return said;
  };

  test("one in user mode", () =>
    withExample("examples/vm/nexus-compose.yaml", async (run, guests) => {
      assert.deepEqual(guests.get("web")?.attachments, []);
      assert.equal(await page("http://127.0.0.1:8080/"), "hello from web\n");
      assert.equal(await run("exec", "web", "--", "hostname"), "web\n");
    }));

  test("three on a bridge", () =>
    withExample("examples/vms/nexus-compose.yaml", async (run, guests) => {
      assert.deepEqual(guests.get("db")?.attachments[0]?.addresses, ["172.16.99.9/24"]);
      for (const [from, to] of [
        ["web", "app"],
        ["app", "db"],
        ["db", "web.vms.nexus"],
      ] as const)
        assert.match(await run("exec", from, "--", "ping", "-c", "1", "-W", "5", to), /1 packets received/);
      assert.equal(await run("exec", "db", "--", "sh", "-c", "grep -c /var/lib/db /proc/mounts"), "1\n");
    }));

  test("a virtual machine and containers side by side", () =>
    withExample("examples/mixed/nexus-compose.yaml", async (run) => {
      assert.equal(await run("exec", "proxy", "--", "wget", "-q", "-O", "-", "http://web/"), "hello from a virtual machine\n");
      assert.match(await run("exec", "web", "--", "ping", "-c", "1", "-W", "5", "cache"), /1 packets received/);
      assert.match(await run("logs"), /^web +│ /m);
    }));
});
