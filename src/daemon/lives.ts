import { NexusError } from "../base/errors.ts";
import type { Name } from "../base/names.ts";
import type { GuestExit } from "../spec/views.ts";
import type { Container, LivesOptions, Machine, Seen } from "./kinds.ts";
import { type Newcomer, renewInterfaces } from "./admit.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import { exitAfter } from "./lost-exit.ts";
import { startsAgain } from "../spec/restart-policy.ts";
import { Backoff } from "./restart.ts";

/** The life of guests of one kind: one thing at a time for each, and state that says what is. */
export class Lives<Guest extends Container | Machine, Plan, Running extends Seen> implements AsyncDisposable {
  readonly #o: LivesOptions<Guest, Plan, Running>;
  readonly #lock: KeyedLock;
  readonly #running = new Map<Name, { seen: Running; watching: AbortController }>();
  readonly #backoffs = new Map<Name, Backoff>();
  readonly #timers = new Map<Name, NodeJS.Timeout>();

  constructor(options: LivesOptions<Guest, Plan, Running>) {
    this.#o = options;
    this.#lock = options.guests.lock;
  }

  running(name: Name): Running | undefined {
    return this.#running.get(name)?.seen;
  }

  /** Makes the guest, and starts it unless told not to; when any part fails nothing of it remains. */
  create(newcomer: Pick<Guest, "kind" | "spec"> & Newcomer, options: { start: boolean; progress: (line: string) => void }): Promise<Guest> {
    const { spec } = newcomer;
    return this.#lock.run(spec.name, async () => {
      const guest = this.#o.guests.admit(newcomer, options.start ? "running" : "stopped") as Guest;
      let isTold = false;
      try {
        await this.#prepare(guest, options.progress);
        this.#tell(guest.name, "created", `created from ${spec.image}`);
        isTold = true;
        const made = options.start ? await this.#run(guest) : guest;
        this.#o.guests.confirm(guest);
        return made;
      } catch (error) {
        await this.#erase(guest.name).catch((also: unknown) =>
          this.#o.log.error({ guest: guest.name, error: messageOf(also) }, "a guest that could not be made could not be removed either"),
        );
        if (isTold) this.#tell(guest.name, "removed", `could not be started, and was removed: ${messageOf(error)}`);
        this.#o.guests.abandon(guest);
        throw error;
      }
    });
  }

  start(name: Name, progress: (line: string) => void): Promise<Guest> {
    return this.#lock.run(name, async () => {
      const guest = this.get(name);
      if (this.#running.has(name)) return guest;
      this.#cancelRestart(name);
      this.#backoffs.delete(name);
      return this.#start({ ...guest, restarts: 0 }, progress);
    });
  }

  stop(name: Name, graceMs: number): Promise<Guest> {
    return this.#lock.run(name, () => this.#stop(this.get(name), graceMs));
  }

  restart(name: Name, options: { graceMs: number; progress: (line: string) => void }): Promise<Guest> {
    return this.#lock.run(name, async () => {
      const stopped = await this.#stop(this.get(name), options.graceMs);
      return this.#start({ ...stopped, restarts: 0 }, options.progress);
    });
  }

  remove(name: Name, options: { force: boolean }): Promise<void> {
    return this.#lock.run(name, async () => {
      this.get(name);
      if (this.#running.has(name) && !options.force) {
        throw new NexusError("wrong-state", `${this.#o.noun} ${name} is running`, { hint: `stop it first, or remove it with --force` });
      }
      await this.#erase(name);
      this.#tell(name, "removed", "removed");
    });
  }

  /** @throws NexusError not-found */
  get(name: Name): Guest {
    const guest = this.#o.guests.find(name);
    if (guest !== undefined && this.#o.isOurs(guest)) return guest;
    const { noun } = this.#o;
    throw new NexusError("not-found", `there is no ${noun} ${name}`, { hint: `nexus ${noun} ls lists them` });
  }

  /** @throws NexusError wrong-state unless it runs */
  runningPlan(name: Name): Plan {
    const guest = this.get(name);
    if (!this.#running.has(name))
      throw new NexusError("wrong-state", `${this.#o.noun} ${name} is ${guest.state}`, {
        hint: `start it: nexus ${this.#o.noun} start ${name}`,
      });
    return this.#o.planOf(guest);
  }

  plan(name: Name): Plan {
    return this.#o.planOf(this.get(name));
  }

  /** Of a guest as it is to be. */
  planFor(guest: Guest): Plan {
    return this.#o.planOf(guest);
  }

  /** Looks again at a guest that runs: what is told of it may have changed. */
  async lookAgain(name: Name): Promise<void> {
    const running = this.#running.get(name);
    const status = running === undefined ? undefined : await this.#o.driver.observe(this.plan(name));
    if (running !== undefined && status?.kind === "running") running.seen = status;
  }

  /** While nothing else is done with it. */
  exclusively<T>(name: Name, work: () => Promise<T>): Promise<T> {
    return this.#lock.run(name, work);
  }

  /** At the daemon's start, before anything on the wire is judged: looks after what runs. Its namespace lives in its process, pinned or not. */
  async adopt(): Promise<void> {
    await Promise.all(this.#all().map((guest) => this.#lock.run(guest.name, () => this.#adoptIfRunning(guest))));
  }

  /** Then, with the wire in order: accounts for what ended meanwhile, finishes what was begun. */
  async recover(options: { rebooted: boolean }): Promise<void> {
    const recoverNow = async (name: Name): Promise<void> => {
      // Callers are served meanwhile: it may be gone by the time its turn comes.
      const guest = this.#o.guests.find(name);
      if (guest !== undefined && this.#o.isOurs(guest)) await this.#recover(guest, options);
    };
    await Promise.all(this.#all().map(({ name }) => this.#lock.run(name, () => recoverNow(name))));
  }

  runningPlans(): Plan[] {
    return [...this.#running.keys()].map((name) => this.plan(name));
  }

  #all(): Guest[] {
    return this.#o.guests.all().filter(this.#o.isOurs);
  }

  async #adoptIfRunning(guest: Guest): Promise<void> {
    try {
      const status = await this.#o.driver.observe(this.#o.planOf(guest));
      if (status.kind !== "running") return;
      this.#o.guests.goLive(guest.name);
      this.#watch(
        this.#o.guests.update(guest, {
          state: guest.desired === "running" ? "running" : "stopping",
          startedAt: Date.parse(status.startedAt),
        }) as Guest,
        status,
      );
      this.#tell(guest.name, "adopted", "was running already and is looked after again");
    } catch (error) {
      // `recover` looks again, and says what is wrong.
      this.#o.log.warn({ guest: guest.name, error: messageOf(error) }, "a guest could not be looked at");
    }
  }

  async #recover(guest: Guest, options: { rebooted: boolean }): Promise<void> {
    try {
      if (this.#running.has(guest.name)) {
        // It may take its time to end, and nobody else is to wait for that.
        if (guest.desired !== "running") this.#later(guest.name, () => this.#stop(guest, 10_000));
        else await this.#o.mend?.(guest);
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
      this.#tell(guest.name, "failed", `could not be recovered: ${messageOf(error)}`);
      this.#scheduleIfWanted(this.get(guest.name));
    }
  }

  /** Starts with interfaces of new names, since the old links may still be going. From here on it is known that it is to run. */
  async #start(before: Guest, progress: (line: string) => void): Promise<Guest> {
    const { guests } = this.#o;
    const guest = guests.reattach({ ...renewInterfaces(before, guests.world), desired: "running", state: "starting" }) as Guest;
    try {
      await this.#prepare(guest, progress);
    } catch (error) {
      guests.update(guest, { state: "failed", problem: messageOf(error) });
      throw error;
    }
    return this.#run(guest);
  }

  async #prepare(guest: Guest, progress: (line: string) => void): Promise<void> {
    this.#o.furnish(guest);
    await this.#o.driver.prepare(this.#o.planOf(guest), progress);
  }

  /** Attaches and runs what is prepared. */
  async #run(guest: Guest): Promise<Guest> {
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
      }) as Guest;
      if (status.kind === "exited") {
        this.#ended(running, status.exit);
        return this.get(guest.name);
      }
      this.#watch(running, status);
      this.#tell(guest.name, "started", `started (pid ${status.pid})`);
      return running;
    } catch (error) {
      guests.detach(guest);
      guests.update(guest, { state: "failed", problem: messageOf(error) });
      throw error;
    }
  }

  #watch(guest: Guest, seen: Running): void {
    const watching = new AbortController();
    this.#running.set(guest.name, { seen, watching });
    this.#o.driver.waitExit(this.#o.planOf(guest), watching.signal).then(
      // By its turn another run may have begun, which this exit is not of.
      (exit) => this.#later(guest.name, async () => (watching.signal.aborted ? undefined : this.#onExit(guest, exit))),
      (error: unknown) => {
        if (!watching.signal.aborted) this.#o.log.error({ guest: guest.name, error: messageOf(error) }, "waiting for a guest's end failed");
      },
    );
  }

  async #onExit(guest: Guest, exit: GuestExit): Promise<void> {
    const now = this.#o.guests.find(guest.name);
    if (now?.id !== guest.id || !this.#running.has(guest.name) || !this.#o.isOurs(now)) return;
    this.#ended(now, exit);
  }

  #ended(guest: Guest, exit: GuestExit): void {
    const ranMs = Date.parse(exit.at) - (guest.startedAt ?? Date.parse(exit.at));
    this.#unwatch(guest.name);
    this.#o.guests.detach(guest);
    const ended = this.#o.guests.update(guest, { state: "exited", exit }) as Guest;
    const how = exit.oomKilled
      ? "was killed: out of memory"
      : exit.signal === undefined
        ? `ended with code ${exit.code}`
        : `was killed by ${exit.signal}`;
    // What a guest wrote is for who asks about the guest, not for everybody who reads events.
    const { lastLines: _, ...details } = exit;
    this.#tell(guest.name, "exited", how, details);
    this.#scheduleIfWanted(ended, ranMs);
  }

  #scheduleIfWanted(guest: Guest, ranMs = 0): void {
    const exitCode = guest.exit?.code ?? 1;
    if (guest.desired !== "running") return;
    if (!startsAgain(guest.spec.restart, { exitCode, restarts: guest.restarts })) {
      if (startsAgain(guest.spec.restart, { exitCode, restarts: 0 }))
        this.#tell(guest.name, "given-up", `failed after ${guest.restarts} restarts (policy ${guest.spec.restart}) and stays ended`);
      return;
    }
    const backoff = this.#backoffs.get(guest.name) ?? new Backoff();
    this.#backoffs.set(guest.name, backoff);
    const delayMs = backoff.nextDelayMs(ranMs);
    this.#cancelRestart(guest.name);
    const timer = setTimeout(() => this.#later(guest.name, () => this.#startAgain(guest)), delayMs);
    this.#timers.set(guest.name, timer);
    this.#tell(guest.name, "restarting", `starts again in ${delayMs} ms (policy ${guest.spec.restart})`);
  }

  async #startAgain(guest: Guest): Promise<void> {
    this.#timers.delete(guest.name);
    const now = this.#o.guests.find(guest.name);
    if (now?.id !== guest.id || !this.#o.isOurs(now) || now.desired !== "running" || this.#running.has(guest.name)) return;
    try {
      await this.#start({ ...now, restarts: now.restarts + 1 }, () => {});
    } catch (error) {
      this.#tell(guest.name, "failed", `could not be started again: ${messageOf(error)}`);
      this.#scheduleIfWanted(this.get(guest.name));
    }
  }

  async #stop(guest: Guest, graceMs: number): Promise<Guest> {
    this.#cancelRestart(guest.name);
    if (!this.#running.has(guest.name) && guest.desired === "stopped" && guest.state !== "running") return guest;
    // Wanted first: a crash from here on ends with it stopped, as asked.
    const stopping = this.#o.guests.update(guest, {
      desired: "stopped",
      state: this.#running.has(guest.name) ? "stopping" : guest.state,
    }) as Guest;
    await this.#o.driver.stop(this.#o.planOf(stopping), graceMs);
    // Only now: a stop that failed leaves it looked after, and can be tried again.
    this.#unwatch(guest.name);
    const status = await this.#o.driver.observe(this.#o.planOf(stopping));
    this.#o.guests.detach(stopping);
    const stopped = this.#o.guests.update(stopping, {
      state: "stopped",
      ...(status.kind === "exited" ? { exit: status.exit } : {}),
    }) as Guest;
    this.#tell(guest.name, "stopped", "stopped");
    return stopped;
  }

  async #erase(name: Name): Promise<void> {
    const guest = this.get(name);
    this.#cancelRestart(name);
    this.#backoffs.delete(name);
    this.#unwatch(name);
    await this.#o.guests.erase(guest, () => this.#o.driver.remove(this.#o.planOf(guest)));
  }

  async #giveUp(guest: Guest, error: unknown): Promise<void> {
    await this.#erase(guest.name);
    this.#tell(guest.name, "removed", `could not be finished after its creation was cut short, and was removed: ${messageOf(error)}`);
  }

  #tell(subject: Name, what: string, message: string, details?: Record<string, unknown>): void {
    const { noun, chronicle } = this.#o;
    chronicle.tell({
      kind: `${noun}.${what}`,
      subject,
      message: `${noun} ${subject} ${message}`,
      ...(details === undefined ? {} : { details }),
    });
  }

  /** In its turn, with nobody waiting for the outcome. */
  #later(name: Name, work: () => Promise<unknown>): void {
    this.#lock
      .run(name, work)
      .catch((error: unknown) => this.#o.log.error({ guest: name, error: messageOf(error) }, "looking after a guest failed"));
  }

  #unwatch(name: Name): void {
    this.#running.get(name)?.watching.abort();
    this.#running.delete(name);
  }

  #cancelRestart(name: Name): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  /** Lets go of the guests; they keep running. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#letGo();
    // A guest's grace or a download may take long; the next daemon finishes what this one leaves.
    await this.#lock.idle(idleDeadlineMs);
    // What was under way may have started guests, or put off a start.
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
