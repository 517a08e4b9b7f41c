import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as host from "../chaos/host.ts";
import { until } from "../kernel/world/until.ts";
import { MachineBed } from "./machine-bed.ts";

describe("accidents of virtual machines on networks", { timeout: 240_000 }, () => {
  let bed: MachineBed;
  before(async () => {
    bed = await MachineBed.make();
    await bed.must("network", "create", "lan", "--subnet", "10.71.0.0/24", "--ipv6");
    await bed.create({ name: "web", networks: [{ network: "lan" }] });
    await bed.ready("web");
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });
  const tapOf = async (name: string) => (await bed.vm(name)).attachments[0]?.hostInterface ?? assert.fail(name);
  const reachable = async (name: string) => {
    const address = await addressOf(name);
    await until(`${name} answers at ${address}`, () => host.shTry("ping", "-n", "-c", "1", "-W", "1", address));
  };
  const addressOf = async (name: string) => (await bed.vm(name)).attachments[0]?.addresses[0]?.split("/")[0] ?? assert.fail(name);

  test("its tap deleted by somebody: it is put back under the same machine, and said", async () => {
    const { pid } = await bed.vm("web");
    const tap = await tapOf("web");
    const last = (await bed.daemon.eventsSince(0)).at(-1)?.id ?? 0;
    await host.sh("ip", "link", "del", tap);
    await until("it is told", async () => (await bed.daemon.eventsSince(last)).some((event) => event.kind === "repaired"), 10_000);
    await reachable("web");
    await bed.allIsWell();
    assert.equal((await bed.vm("web")).pid, pid);
  });

  test("its tap deleted while no daemon runs: it is put back by the next", async () => {
    const { pid } = await bed.vm("web");
    const tap = await tapOf("web");
    await bed.daemon.end("SIGKILL");
    await host.sh("ip", "link", "del", tap);
    await bed.daemon.start();
    await reachable("web");
    assert.equal((await bed.vm("web")).pid, pid);
    await bed.allIsWell();
  });

  test("the daemon killed while a ping runs: no packet is lost, and the same process is looked after again", async () => {
    const { pid, startedAt } = await bed.vm("web");
    await using ping = await Pinging.start(await addressOf("web"));
    await bed.daemon.crashAndStart();
    await until("the next daemon serves for a while", () => ping.answered > 60);
    await bed.daemon.end("SIGTERM");
    await bed.daemon.start();
    await until("and the one after it", () => ping.answered > 90);
    assert.deepEqual(await ping.stop(), { lost: 0 });
    const after = await bed.vm("web");
    assert.deepEqual([after.pid, after.startedAt, after.state], [pid, startedAt, "running"]);
    assert.equal((await bed.shell("web", "echo still here")).out, "still here\n");
    await bed.allIsWell();
  });

  const breakages: [string, () => Promise<[string, ...string[]]>][] = [
    ["its bridge is deleted", async () => ["link", "del", "nx-lan"]],
    ["its tap is taken down", async () => ["link", "set", await tapOf("web"), "down"]],
    ["its tap is taken off the bridge", async () => ["link", "set", await tapOf("web"), "nomaster"]],
    ["its tap has another MTU", async () => ["link", "set", await tapOf("web"), "mtu", "1300"]],
  ];
  for (const [what, command] of breakages) {
    test(`${what}: it is put back, and said`, async () => {
      const last = (await bed.daemon.eventsSince(0)).at(-1)?.id ?? 0;
      await host.sh("ip", ...(await command()));
      await until("it is told", async () => (await bed.daemon.eventsSince(last)).some((event) => event.kind === "repaired"), 10_000);
      await reachable("web");
      await bed.allIsWell();
    });
  }

  test("its network changed while it runs: its tap follows, and it goes on", async () => {
    await bed.must("network", "set", "lan", "--mtu", "1400", "--isolation", "guests");
    const name = await tapOf("web");
    const tap = (await host.linksOf()).find((link) => link.ifname === name) ?? assert.fail(name);
    assert.deepEqual([tap.mtu, tap.linkinfo?.info_slave_data?.isolated], [1400, true]);
    await reachable("web");
    await bed.must("network", "set", "lan", "--mtu", "auto", "--isolation", "none");
    const { code, err } = await bed.nexus("network", "rm", "lan");
    assert.deepEqual([code === 0, /used by web/.test(err)], [false, true], err);
    await bed.allIsWell();
  });

  test("killed from outside: it is exited with its signal and its last words, and its tap is gone", async () => {
    await bed.shell("web", "echo last words of web >/dev/ttyS0; sleep 0.3");
    const { pid } = await bed.vm("web");
    process.kill(pid ?? assert.fail("it has no process"), "SIGKILL");
    const { exit } = await bed.vmIs("web", "is exited", (vm) => vm.state === "exited");
    assert.deepEqual([exit?.code, exit?.signal], [137, "SIGKILL"]);
    assert.match(exit?.lastLines.join("\n") ?? "", /last words of web/);
    await bed.allIsWell();
    await bed.must("vm", "start", "--name", "web");
    await bed.ready("web");
    await reachable("web");
  });

  test("killed from outside with a restart policy: it runs again at its old address, with another tap", async () => {
    const before = await bed.create({ name: "phoenix", networks: [{ network: "lan" }], restart: "on-failure" });
    process.kill(before.pid ?? assert.fail("it has no process"), "SIGKILL");
    const again = await bed.vmIs("phoenix", "runs again", (vm) => vm.state === "running" && vm.pid !== before.pid);
    assert.equal(again.restarts, 1);
    assert.deepEqual(again.attachments[0]?.addresses, before.attachments[0]?.addresses);
    assert.notEqual(again.attachments[0]?.hostInterface, before.attachments[0]?.hostInterface);
    await bed.ready("phoenix");
    await reachable("phoenix");
    await bed.allIsWell();
  });

  test("hanging wholly: it is stopped by force within its grace and some seconds", async () => {
    const { pid } = await bed.vm("phoenix");
    process.kill(pid ?? assert.fail("it has no process"), "SIGSTOP");
    const since = performance.now();
    await bed.must("vm", "stop", "phoenix", "--grace", "1");
    assert.ok(performance.now() - since < 15_000, `it took ${Math.round(performance.now() - since)} ms`);
    assert.equal((await bed.vm("phoenix")).state, "stopped");
    await bed.must("vm", "rm", "phoenix");
    await bed.allIsWell();
  });

  test("a console that says more than is kept: its log is put aside, and read across the cut", async () => {
    const directory = join(bed.daemon.places.stateDir, "guests");
    const log = join(directory, readdirSync(directory).find((id) => id.startsWith("web-")) ?? "", "log");
    // As if the guest had written it: its own serial port takes minutes for as much.
    appendFileSync(log, "many words\n".repeat(1_000_000));
    await bed.client.call("reconcile");
    await until("the log is put aside", () => existsSync(`${log}.1`) && statSync(log).size < 1_000_000);
    await bed.shell("web", "echo after the cut >/dev/ttyS0; sleep 0.3");
    assert.match(await bed.must("vm", "logs", "web", "--tail", "40"), /many words[^]*after the cut/);
  });

  test("removed while it is being created: the one or the other, and nothing is left", async () => {
    const creating = bed.create({ name: "brief", networks: [{ network: "lan" }] }).catch((error: Error) => error);
    const removing = bed.nexus("vm", "rm", "--force", "brief");
    await creating;
    await removing;
    await bed.nexus("vm", "rm", "--force", "brief");
    assert.equal((await bed.nexus("vm", "inspect", "brief")).code === 0, false);
    await bed.allIsWell();
  });

  test("everything removed at once: nothing of it is left", async () => {
    await bed.create({ name: "other", networks: [{ network: "lan" }], restart: "always" });
    await bed.must("network", "reset", "--force");
    assert.deepEqual(await bed.client.call("guest.list"), []);
    await bed.allIsWell();
    const failures = (await bed.daemon.eventsSince(0)).filter((event) => event.kind === "repair.failed");
    assert.deepEqual(failures, [], "of all repairs none failed");
  });
});

/** Packets from the host to a guest, 50 each second. */
class Pinging implements AsyncDisposable {
  readonly #child;
  #said = "";

  private constructor(address: string) {
    this.#child = spawn("ping", ["-n", "-i", "0.02", address], { stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stdout.on("data", (chunk) => (this.#said += String(chunk)));
  }

  static async start(address: string): Promise<Pinging> {
    const ping = new Pinging(address);
    await until("the first answer", () => ping.answered > 0);
    return ping;
  }

  get answered(): number {
    return this.#said.match(/bytes from/g)?.length ?? 0;
  }

  async stop(): Promise<{ lost: number }> {
    const closed = once(this.#child, "close");
    this.#child.kill("SIGINT");
    await closed;
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(this.#said) ?? [];
    return { lost: Number(sent) - Number(received) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill("SIGKILL");
  }
}
