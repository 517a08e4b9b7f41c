import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { NexusError } from "../../src/base/errors.ts";
import { audit, type Surroundings, surroundingsOf } from "./audit.ts";
import { type Deed, isUnanswered, type Limits, nextDeed, steadyGuest, steadyNetwork } from "./deeds.ts";
import { Dice } from "./dice.ts";
import { foreignState, makeForeign } from "./foreign.ts";
import * as host from "./host.ts";
import { Ledger } from "./ledger.ts";
import { Nexusd } from "./nexusd.ts";
import { vandalise } from "./vandalism.ts";

export type Report = {
  cycles: number;
  kills: number;
  terminated: number;
  unanswered: number;
  refused: number;
  vandalised: number;
  pings: number;
  slowestRepairMs: number;
  faults: string[];
};

export type CyclesOptions = { cycles: number; seed: number; limits?: Partial<Limits>; progress?: (line: string) => void };

const defaultLimits: Limits = { networks: 6, guests: 14, containers: 3, prefix: "x" };
/** Requests between two looks at the host. */
const batchSize = 10;
/** How long what is wrong may stay wrong: kernels take links away in their own time, nodes are started again with a delay. */
const patienceMs = 15_000;

/** Creates, removes, changes, breaks and kills at random, and looks at the host after each batch. Stops at the first fault. */
export async function runCycles({ cycles, seed, limits, progress = () => {} }: CyclesOptions): Promise<Report> {
  await makeForeign();
  const before = { foreign: await foreignState(), sysctls: host.sysctls(), mounts: host.mountPoints() };
  const around = surroundingsOf(await host.linksOf(), await host.routesOf(), await host.ruleset());
  await using daemon = await Nexusd.started();
  const chaos = new Chaos(daemon, {
    dice: new Dice(seed),
    limits: { ...defaultLimits, prefix: `x${(Date.now() % 1_000_000).toString(36)}`, ...limits },
    around,
    foreign: before.foreign,
  });
  await chaos.begin();
  while (chaos.report.cycles < cycles && chaos.report.faults.length === 0) {
    const before = chaos.report.cycles;
    await chaos.batch();
    const { cycles: now, kills, unanswered } = chaos.report;
    if (Math.floor(now / 500) > Math.floor(before / 500))
      progress(`${now} cycles, ${kills} kills, ${unanswered} unanswered, ${Math.round(performance.now() / 1000)} s`);
  }
  if (chaos.report.faults.length === 0) {
    await chaos.finish();
    const after = { foreign: await foreignState(), sysctls: host.sysctls(), mounts: host.mountPoints() };
    for (const [what, value] of Object.entries(before))
      if (JSON.stringify(value) !== JSON.stringify(after[what as keyof typeof after]))
        chaos.report.faults.push(
          `${what} at the end: ${JSON.stringify(after[what as keyof typeof after])}\n  at the start: ${JSON.stringify(value)}`,
        );
  }
  if (chaos.report.faults.length > 0) chaos.report.faults.push(...chaos.story(), `log:\n${daemon.log().split("\n").slice(-40).join("\n")}`);
  return chaos.report;
}

class Chaos {
  readonly report: Report = {
    cycles: 0,
    kills: 0,
    terminated: 0,
    unanswered: 0,
    refused: 0,
    vandalised: 0,
    pings: 0,
    slowestRepairMs: 0,
    faults: [],
  };
  readonly #daemon: Nexusd;
  readonly #ledger = new Ledger();
  readonly #dice: Dice;
  readonly #limits: Limits;
  readonly #around: Surroundings;
  readonly #foreign: string;
  #rulesBroken = false;
  /** What was done since the last time all was well. */
  #story: string[] = [];

  constructor(daemon: Nexusd, { dice, limits, around, foreign }: { dice: Dice; limits: Limits; around: Surroundings; foreign: string }) {
    this.#daemon = daemon;
    this.#dice = dice;
    this.#limits = limits;
    this.#around = around;
    this.#foreign = foreign;
  }

  story(): string[] {
    return this.#story.map((line) => `  did: ${line}`);
  }

  /** A network and a guest that nothing is done to. */
  async begin(): Promise<void> {
    const { client } = this.#daemon;
    const network = await client.call("network.create", { body: { name: steadyNetwork } });
    const guest = await client.call("attachment.create", { body: { name: steadyGuest, networks: [{ network: steadyNetwork }] } });
    this.#ledger.networksAre(
      new Map([
        [
          steadyNetwork,
          {
            name: steadyNetwork,
            subnets: network.subnets.map((s) => s.prefix as string),
            ipv6: false,
            nat: true,
            isolation: "none",
            internal: false,
            peers: [],
          },
        ],
      ]),
    );
    this.#ledger.guestIs(steadyGuest, {
      name: steadyGuest,
      kind: "netns",
      networks: [steadyNetwork],
      publish: [],
      wanted: "running",
      addresses: guest.attachments.flatMap((a) => a.addresses as string[]),
    });
  }

  /** Some requests, one after the other or at once; something broken; the daemon ended in the middle or after; then a look at everything. */
  async batch(): Promise<void> {
    this.#rulesBroken = false;
    await using ping = await Pinging.start(await this.#gateway());
    for (let done = 0; done < batchSize && this.#daemon.isUp;) {
      const together = this.#dice.chance(0.3) ? 1 + this.#dice.below(4) : 1;
      const killAfterMs = this.#dice.chance(0.12) ? this.#dice.fraction() * 5 : undefined;
      done += await this.#together(together, killAfterMs);
      if (this.#dice.chance(0.08)) await this.#vandalise();
      if (this.#dice.chance(0.05)) await this.#killInit();
    }
    if (this.#daemon.isUp && this.#dice.chance(0.7)) await this.#end();
    if (!this.#daemon.isUp) {
      if (this.#dice.chance(0.2)) await this.#vandalise();
      await this.#daemon.start();
    }
    await this.#look();
    const { sent, received } = await ping.stop();
    this.report.pings += sent;
    if (sent !== received && !this.#rulesBroken)
      this.report.faults.push(`${sent - received} of ${sent} pings of a guest nobody touched were lost`);
  }

  /** Removes everything; the audit then asks for a host as it was. */
  async finish(): Promise<void> {
    this.#story.push("remove everything");
    await this.#daemon.client.call("network.reset", { query: { force: true } });
    this.#ledger.networksAre(new Map());
    for (const { name } of this.#ledger.guests) this.#ledger.guestIs(name, undefined);
    await this.#look();
  }

  async #together(count: number, killAfterMs: number | undefined): Promise<number> {
    const deeds: Deed[] = [];
    const busy = new Set<string>();
    let networksBusy = false;
    for (let tries = 0; deeds.length < count && tries < 20; tries++) {
      const deed = nextDeed(this.#dice, this.#ledger, { limits: this.#limits, busy, networksBusy });
      if (deed === undefined) continue;
      deeds.push(deed);
      const subject = deed.say.split(" ")[2] ?? "";
      if (busy.has(subject)) {
        deeds.pop();
        continue;
      }
      busy.add(subject);
      this.#daemon.named.add(subject);
      networksBusy ||= deed.say.includes(" network ");
    }
    const answers = deeds.map((deed) => this.#do(deed));
    if (killAfterMs !== undefined && deeds.length > 0) {
      await delay(killAfterMs);
      await this.#kill(`during: after ${killAfterMs.toFixed(2)} ms`);
    }
    await Promise.all(answers);
    return deeds.length;
  }

  async #do(deed: Deed): Promise<void> {
    this.report.cycles++;
    deed.mayBecome();
    try {
      deed.done(await deed.send(this.#daemon.client));
      this.#story.push(deed.say);
    } catch (error) {
      if (isUnanswered(error)) {
        this.report.unanswered++;
        this.#story.push(`${deed.say}: unanswered`);
        return;
      }
      const { code, message } = error as NexusError;
      this.#story.push(`${deed.say}: ${code} ${message}`);
      this.report.refused++;
      deed.refused();
      if (!deed.mayRefuse.includes(code)) this.report.faults.push(`${deed.say} was refused: ${code}: ${message}`);
    }
  }

  async #vandalise(): Promise<void> {
    const up = this.#daemon.isUp;
    const views = up ? await this.#views() : this.#lastViews;
    const spared = {
      networks: views.networks.filter((n) => n.name !== steadyNetwork),
      guests: views.guests.filter((g) => g.name !== steadyGuest),
    };
    const said = await vandalise(this.#dice, spared);
    if (said === undefined) return;
    this.report.vandalised++;
    // Without their elements our rules drop what the steady guest sends, until they are repaired.
    this.#rulesBroken ||= said.startsWith("nft flush") && said.endsWith("done");
    this.#story.push(`${up ? "" : "while nexusd is down, "}${said}`);
  }

  /** Kills a node's first process behind the daemon's back; then it may have any process, or none. */
  async #killInit(): Promise<void> {
    const victim = this.#dice.one(this.#ledger.guests.filter((g) => g.pid !== undefined));
    if (victim?.pid === undefined) return;
    const { pid, ...without } = victim;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
    this.#story.push(`kill the process of ${victim.name}, pid ${pid}`);
    this.#ledger.guestIs(victim.name, without);
  }

  async #end(): Promise<void> {
    if (this.#dice.chance(0.8)) return await this.#kill("at rest");
    this.#story.push("SIGTERM");
    this.report.terminated++;
    const code = await this.#daemon.end("SIGTERM");
    if (code !== 0) this.report.faults.push(`nexusd ended with ${code} on SIGTERM`);
  }

  async #kill(when: string): Promise<void> {
    this.#story.push(`kill -9 ${when}`);
    this.report.kills++;
    const code = await this.#daemon.end("SIGKILL");
    if (code !== "SIGKILL") this.report.faults.push(`nexusd had ended by itself with ${code}`);
  }

  #lastViews: Awaited<ReturnType<Chaos["views"]>> = { networks: [], guests: [] };
  async #views() {
    return (this.#lastViews = await this.views());
  }

  async views() {
    const { client } = this.#daemon;
    const [networks, guests] = await Promise.all([client.call("network.list"), client.call("guest.list")]);
    return { networks, guests };
  }

  /** Reconciles and audits until all is well, or the patience has run out. */
  async #look(): Promise<void> {
    const since = performance.now();
    for (;;) {
      await this.#daemon.client.call("reconcile");
      const views = await this.#views();
      const faults = [...this.#ledger.settle(views.networks, views.guests), ...(await audit(this.#daemon, views, this.#around))];
      const rest =
        faults.length > 0
          ? []
          : (await this.#daemon.client.call("reconcile")).steps.map((step) => `a second reconcile had something to do: ${step}`);
      if ((await foreignState()) !== this.#foreign) faults.push("something of another program was changed");
      const waited = performance.now() - since;
      if (faults.length + rest.length === 0) {
        this.report.slowestRepairMs = Math.max(this.report.slowestRepairMs, Math.round(waited));
        this.#story = [];
        return;
      }
      if (waited > patienceMs) return void this.report.faults.push(...faults, ...rest);
      await delay(50);
    }
  }

  async #gateway(): Promise<string> {
    const view = await this.#daemon.client.call("network.get", { params: { name: steadyNetwork } });
    return view.subnets[0]?.gateway ?? "";
  }
}

/** Packets of the steady guest to its gateway, 20 each second. */
class Pinging implements AsyncDisposable {
  readonly #child;
  #said = "";

  private constructor(address: string) {
    this.#child = spawn("ip", ["netns", "exec", `nexus-${steadyGuest}`, "ping", "-n", "-i", "0.05", address], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.stdout.on("data", (chunk) => (this.#said += String(chunk)));
  }

  static async start(address: string): Promise<Pinging> {
    const ping = new Pinging(address);
    await once(ping.#child.stdout, "data", { signal: AbortSignal.timeout(10_000) });
    return ping;
  }

  async stop(): Promise<{ sent: number; received: number }> {
    const closed = once(this.#child, "close");
    // It says how many were lost, and leaves out the one that is under way.
    this.#child.kill("SIGINT");
    await closed;
    const [, sent = "", received = ""] = /(\d+) packets transmitted, (\d+) received/.exec(this.#said) ?? [];
    return { sent: Number(sent), received: Number(received) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill("SIGKILL");
  }
}
