import { NexusError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Name } from "../base/names.ts";
import type { GuestDriver, GuestPlan } from "../guests/driver.ts";
import type { NodeSpec } from "../spec/node.ts";
import type { GuestExit, LimitsView } from "../spec/views.ts";
import type { GuestRecord } from "../state/rows.ts";
import { renewInterfaces } from "./admit.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Guests } from "./guests.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { exitAfter } from "./lost-exit.ts";
import { Backoff, restarts } from "./restart.ts";

export type Container = Extract<GuestRecord, { kind: "container" }>;

/** What is known of a running node beyond its record. */
type Running = { pid: number; limits: LimitsView; watching: AbortController };

export type NodesOptions = {
  guests: Guests;
  driver: GuestDriver;
  chronicle: Chronicle;
  log: Log;
  planOf: (guest: Container) => GuestPlan;
  /** The program that runs a started node. */
  runtimeOf: (plan: GuestPlan) => string | undefined;
};

/** The life of container nodes: one thing at a time for each, and state that says what is. */
export class Nodes implements AsyncDisposable {
  readonly #o: NodesOptions;
  readonly #lock = new KeyedLock();
  readonly #running = new Map<Name, Running>();
  readonly #backoffs = new Map<Name, Backoff>();
  readonly #timers = new Map<Name, NodeJS.Timeout>();

  constructor(options: NodesOptions) {
    this.#o = options;
  }

  running(name: Name): { pid: number; limits: LimitsView } | undefined {
    return this.#running.get(name);
  }

  /** Makes the node, and starts it unless told not to; when any part fails nothing of it remains. */
  create(spec: NodeSpec, options: { start: boolean; progress: (line: string) => void }): Promise<Container> {
    return this.#lock.run(spec.name, async () => {
      const guest = this.#o.guests.admit({ kind: "container", spec }, options.start ? "running" : "stopped") as Container;
      try {
        await this.#o.driver.prepare(this.#o.planOf(guest), options.progress);
        this.#o.chronicle.tell({ kind: "node.created", subject: guest.name, message: `node ${guest.name} created from ${spec.image}` });
        const made = options.start ? await this.#run(guest) : guest;
        this.#o.guests.confirm(guest);
        return made;
      } catch (error) {
        await this.#erase(guest.name).catch((also: unknown) =>
          this.#o.log.error({ guest: guest.name, error: messageOf(also) }, "a node that could not be made could not be removed either"),
        );
        this.#o.guests.abandon(guest);
        throw error;
      }
    });
  }

  start(name: Name, progress: (line: string) => void): Promise<Container> {
    return this.#lock.run(name, async () => {
      const guest = this.get(name);
      if (this.#running.has(name)) return guest;
      this.#cancelRestart(name);
      this.#backoffs.delete(name);
      return this.#start(guest, progress);
    });
  }

  stop(name: Name, graceMs: number): Promise<Container> {
    return this.#lock.run(name, () => this.#stop(this.get(name), graceMs));
  }

  restart(name: Name, options: { graceMs: number; progress: (line: string) => void }): Promise<Container> {
    return this.#lock.run(name, async () => {
      const stopped = await this.#stop(this.get(name), options.graceMs);
      return this.#start(stopped, options.progress);
    });
  }

  remove(name: Name, options: { force: boolean }): Promise<void> {
    return this.#lock.run(name, async () => {
      this.get(name);
      if (this.#running.has(name) && !options.force) {
        throw new NexusError("wrong-state", `node ${name} is running`, { hint: `stop it first, or remove it with --force` });
      }
      await this.#erase(name);
      this.#o.chronicle.tell({ kind: "node.removed", subject: name, message: `node ${name} removed` });
    });
  }

  /** @throws NexusError not-found */
  get(name: Name): Container {
    const guest = this.#o.guests.find(name);
    if (guest?.kind !== "container") throw new NexusError("not-found", `there is no node ${name}`, { hint: "nexus node ls lists them" });
    return guest;
  }

  /** @throws NexusError wrong-state unless it runs */
  runningPlan(name: Name): GuestPlan {
    const guest = this.get(name);
    if (!this.#running.has(name))
      throw new NexusError("wrong-state", `node ${name} is ${guest.state}`, { hint: `start it: nexus node start ${name}` });
    return this.#o.planOf(guest);
  }

  plan(name: Name): GuestPlan {
    return this.#o.planOf(this.get(name));
  }

  /** At the daemon's start, before anything on the wire is judged: looks after what runs. Its namespace lives in its process, pinned or not. */
  async adopt(): Promise<void> {
    await Promise.all(this.#containers().map((guest) => this.#lock.run(guest.name, () => this.#adoptIfRunning(guest))));
  }

  /** Then, with the wire in order: accounts for what ended meanwhile, finishes what was begun. */
  async recover(options: { rebooted: boolean }): Promise<void> {
    const recoverNow = async (name: Name): Promise<void> => {
      // Callers are served meanwhile: it may be gone by the time its turn comes.
      const guest = this.#o.guests.find(name);
      if (guest?.kind === "container") await this.#recover(guest, options);
    };
    await Promise.all(this.#containers().map(({ name }) => this.#lock.run(name, () => recoverNow(name))));
  }

  runningPlans(): GuestPlan[] {
    return [...this.#running.keys()].map((name) => this.plan(name));
  }

  #containers(): Container[] {
    return this.#o.guests.all().filter((g) => g.kind === "container");
  }

  async #adoptIfRunning(guest: Container): Promise<void> {
    try {
      const status = await this.#o.driver.observe(this.#o.planOf(guest));
      if (status.kind !== "running") return;
      this.#o.guests.goLive(guest.name);
      this.#watch(
        this.#o.guests.update(guest, {
          state: guest.desired === "running" ? "running" : "stopping",
          startedAt: Date.parse(status.startedAt),
        }) as Container,
        status,
      );
      this.#o.chronicle.tell({
        kind: "node.adopted",
        subject: guest.name,
        message: `node ${guest.name} was running already and is looked after again`,
      });
    } catch (error) {
      // `recover` looks again, and says what is wrong.
      this.#o.log.warn({ guest: guest.name, error: messageOf(error) }, "a node could not be looked at");
    }
  }

  async #recover(guest: Container, options: { rebooted: boolean }): Promise<void> {
    try {
      if (this.#running.has(guest.name)) {
        // It may take its time to end, and nobody else is to wait for that.
        if (guest.desired !== "running") this.#later(guest.name, () => this.#stop(guest, 10_000));
        return;
      }
      const status = await this.#o.driver.observe(this.#o.planOf(guest));
      switch (status.kind) {
        case "running":
          return await this.#adoptIfRunning(guest);
        case "exited":
        case "absent": {
          // Wanted and never seen to run since: a start was begun.
          const unfinished = guest.state === "created" || guest.state === "starting" || guest.state === "stopped";
          const again = options.rebooted && guest.spec.restart === "always";
          // Its creation was never answered: it comes to be whole, or not at all.
          if (guest.state === "created" && guest.desired === "running")
            return void (await this.#start(guest, () => {}).catch((error: unknown) => this.#giveUp(guest, error)));
          if (guest.desired !== "running" && !again) {
            if (guest.state === "running" || guest.state === "stopping") this.#o.guests.update(guest, { state: "stopped" });
            return;
          }
          if (unfinished || again) return void (await this.#start(guest, () => {}));
          if (guest.state !== "running" && guest.state !== "stopping") return this.#scheduleIfWanted(guest);
          return this.#ended(guest, exitAfter(status, options.rebooted));
        }
      }
    } catch (error) {
      this.#o.guests.update(guest, { state: "failed", problem: messageOf(error) });
      this.#o.chronicle.tell({
        kind: "node.failed",
        subject: guest.name,
        message: `node ${guest.name} could not be recovered: ${messageOf(error)}`,
      });
      this.#scheduleIfWanted(this.get(guest.name));
    }
  }

  /** Starts with interfaces of new names, since the old links may still be going. From here on it is known that it is to run. */
  async #start(before: Container, progress: (line: string) => void): Promise<Container> {
    const { guests, driver, planOf } = this.#o;
    const guest = guests.reattach({ ...renewInterfaces(before, guests.world), desired: "running", state: "starting" }) as Container;
    try {
      await driver.prepare(planOf(guest), progress);
    } catch (error) {
      guests.update(guest, { state: "failed", problem: messageOf(error) });
      throw error;
    }
    return this.#run(guest);
  }

  /** Attaches and runs what is prepared. */
  async #run(guest: Container): Promise<Container> {
    const { guests, driver, planOf } = this.#o;
    try {
      guests.attach(guest);
      const status = await driver.start(planOf(guest));
      const startedAt = status.kind === "running" ? Date.parse(status.startedAt) : Date.now();
      const running = guests.update(guest, {
        state: "running",
        startedAt,
        exit: undefined,
        problem: undefined,
        runtime: this.#o.runtimeOf(planOf(guest)),
      }) as Container;
      if (status.kind === "exited") {
        this.#ended(running, status.exit);
        return this.get(guest.name);
      }
      this.#watch(running, status);
      this.#o.chronicle.tell({ kind: "node.started", subject: guest.name, message: `node ${guest.name} started (pid ${status.pid})` });
      return running;
    } catch (error) {
      guests.detach(guest);
      guests.update(guest, { state: "failed", problem: messageOf(error) });
      throw error;
    }
  }

  #watch(guest: Container, status: { pid: number; limits: LimitsView }): void {
    const watching = new AbortController();
    this.#running.set(guest.name, { pid: status.pid, limits: status.limits, watching });
    this.#o.driver.waitExit(this.#o.planOf(guest), watching.signal).then(
      (exit) => this.#later(guest.name, () => this.#onExit(guest, exit)),
      (error: unknown) => {
        if (!watching.signal.aborted) this.#o.log.error({ guest: guest.name, error: messageOf(error) }, "waiting for a node's end failed");
      },
    );
  }

  async #onExit(guest: Container, exit: GuestExit): Promise<void> {
    const now = this.#o.guests.find(guest.name);
    if (now?.id !== guest.id || !this.#running.has(guest.name) || now.kind !== "container") return;
    this.#ended(now, exit);
  }

  #ended(guest: Container, exit: GuestExit): void {
    const ranMs = Date.parse(exit.at) - (guest.startedAt ?? Date.parse(exit.at));
    this.#unwatch(guest.name);
    this.#o.guests.detach(guest);
    const ended = this.#o.guests.update(guest, { state: "exited", exit }) as Container;
    const how = exit.oomKilled
      ? "was killed: out of memory"
      : exit.signal === undefined
        ? `ended with code ${exit.code}`
        : `was killed by ${exit.signal}`;
    // What a guest wrote is for who asks about the guest, not for everybody who reads events.
    const { lastLines: _, ...details } = exit;
    this.#o.chronicle.tell({ kind: "node.exited", subject: guest.name, message: `node ${guest.name} ${how}`, details });
    this.#scheduleIfWanted(ended, ranMs);
  }

  #scheduleIfWanted(guest: Container, ranMs = 0): void {
    const code = guest.exit?.code ?? 1;
    if (guest.desired !== "running" || !restarts(guest.spec.restart, code)) return;
    const backoff = this.#backoffs.get(guest.name) ?? new Backoff();
    this.#backoffs.set(guest.name, backoff);
    const delayMs = backoff.nextDelayMs(ranMs);
    this.#cancelRestart(guest.name);
    const timer = setTimeout(() => this.#later(guest.name, () => this.#startAgain(guest)), delayMs);
    this.#timers.set(guest.name, timer);
    this.#o.chronicle.tell({
      kind: "node.restarting",
      subject: guest.name,
      message: `node ${guest.name} starts again in ${delayMs} ms (policy ${guest.spec.restart})`,
    });
  }

  async #startAgain(guest: Container): Promise<void> {
    this.#timers.delete(guest.name);
    const now = this.#o.guests.find(guest.name);
    if (now?.id !== guest.id || now.kind !== "container" || now.desired !== "running" || this.#running.has(guest.name)) return;
    try {
      await this.#start({ ...now, restarts: now.restarts + 1 }, () => {});
    } catch (error) {
      this.#o.chronicle.tell({
        kind: "node.failed",
        subject: guest.name,
        message: `node ${guest.name} could not be started again: ${messageOf(error)}`,
      });
      this.#scheduleIfWanted(this.get(guest.name));
    }
  }

  async #stop(guest: Container, graceMs: number): Promise<Container> {
    this.#cancelRestart(guest.name);
    if (!this.#running.has(guest.name) && guest.desired === "stopped" && guest.state !== "running") return guest;
    // Wanted first: a crash from here on ends with the node stopped, as asked.
    const stopping = this.#o.guests.update(guest, {
      desired: "stopped",
      state: this.#running.has(guest.name) ? "stopping" : guest.state,
    }) as Container;
    await this.#o.driver.stop(this.#o.planOf(stopping), graceMs);
    // Only now: a stop that failed leaves the node looked after, and can be tried again.
    this.#unwatch(guest.name);
    const status = await this.#o.driver.observe(this.#o.planOf(stopping));
    this.#o.guests.detach(stopping);
    const stopped = this.#o.guests.update(stopping, {
      state: "stopped",
      ...(status.kind === "exited" ? { exit: status.exit } : {}),
    }) as Container;
    this.#o.chronicle.tell({ kind: "node.stopped", subject: guest.name, message: `node ${guest.name} stopped` });
    return stopped;
  }

  async #erase(name: Name): Promise<void> {
    const guest = this.get(name);
    this.#cancelRestart(name);
    this.#backoffs.delete(name);
    this.#unwatch(name);
    // From here on the name, addresses and ports are free, and a crash ends with the node gone.
    this.#o.guests.retire(guest);
    const { departing } = this.#o.guests.world;
    departing.add(guest.id);
    try {
      await this.#o.driver.remove(this.#o.planOf(guest));
    } finally {
      departing.delete(guest.id);
    }
    this.#o.guests.bury(guest);
  }

  async #giveUp(guest: Container, error: unknown): Promise<void> {
    await this.#erase(guest.name);
    this.#o.chronicle.tell({
      kind: "node.removed",
      subject: guest.name,
      message: `node ${guest.name}, whose creation was cut short, could not be finished and was removed: ${messageOf(error)}`,
    });
  }

  /** In its turn, with nobody waiting for the outcome. */
  #later(name: Name, work: () => Promise<unknown>): void {
    this.#lock
      .run(name, work)
      .catch((error: unknown) => this.#o.log.error({ guest: name, error: messageOf(error) }, "looking after a node failed"));
  }

  #unwatch(name: Name): void {
    this.#running.get(name)?.watching.abort();
    this.#running.delete(name);
  }

  #cancelRestart(name: Name): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  /** Lets go of the nodes; they keep running. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#letGo();
    // A node's grace or a download may take long; the next daemon finishes what this one leaves.
    await this.#lock.idle(idleDeadlineMs);
    // What was under way may have started nodes, or put off a start.
    this.#letGo();
  }

  #letGo(): void {
    for (const name of this.#timers.keys()) this.#cancelRestart(name);
    for (const name of this.#running.keys()) this.#unwatch(name);
  }
}

const idleDeadlineMs = 3000;

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
