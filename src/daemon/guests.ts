import type { Clock } from "../base/clock.ts";
import { KernelError, NexusError } from "../base/errors.ts";
import type { Name } from "../base/names.ts";
import type { PublishSpec } from "../spec/node.ts";
import type { Desired as Wanted, GuestRecord, Lifecycle } from "../state/rows.ts";
import type { State } from "../state/state.ts";
import { admit, type Admission, type Newcomer } from "./admit.ts";
import type { Placed } from "./default-network.ts";
import { KeyedLock } from "./keyed-lock.ts";
import type { NetworkEngine } from "./network-access.ts";
import type { World } from "./world.ts";

export type GuestsOptions = {
  world: World;
  state: State;
  wiring: NetworkEngine;
  clock: Clock;
  listener: (publish: PublishSpec) => string | undefined;
  /** Told after every change of who is live: names follow guests. */
  onChange: (guest: GuestRecord, live: boolean) => void;
  /** Told of a live guest that leaves the networks of these attachments. */
  onLeave: (guest: GuestRecord) => void;
  /** Fills in the default network where none is named, and makes it when it is not there. */
  place: (newcomer: Newcomer) => Placed;
  /** Removes a network that was made for a newcomer who was refused, unless it is in use by now. */
  dropNetwork: (name: Name) => void;
};

/** Guests of every kind: in state, in memory and on the wire, always changed in that order. */
export class Guests {
  readonly world: World;
  /** One thing at a time for each name, whatever kind of guest has it. */
  readonly lock = new KeyedLock();
  readonly #o: GuestsOptions;
  /** Networks made for guests that are still being made, by guest id. */
  readonly #madeFor = new Map<string, Name>();

  constructor(options: GuestsOptions) {
    this.#o = options;
    this.world = options.world;
  }

  all(): GuestRecord[] {
    return [...this.world.guests.values()];
  }

  find(name: Name): GuestRecord | undefined {
    return this.world.guests.get(name);
  }

  /** Decides and writes down; nothing is in the kernel yet. @throws NexusError as admit does, and not-permitted */
  admit(newcomer: Newcomer, wanted: Exclude<Wanted, "absent">): GuestRecord {
    const { world, state } = this.#o;
    if (newcomer.kind !== "vm" || newcomer.spec.networks.length > 0) this.#o.wiring.requireRights();
    const { newcomer: placed, made } = this.#o.place(newcomer);
    using undo = new DisposableStack();
    if (made !== undefined) undo.defer(() => this.#o.dropNetwork(made));
    const { guest, claims } = this.#decide(placed);
    const record: GuestRecord = { ...guest, desired: wanted };
    world.addGuest(record, claims);
    undo.defer(() => {
      world.removeGuest(record);
      world.thaw(record.leases);
    });
    state.guests.insert(record);
    undo.move();
    // The disk works while the kernel does; whoever answers waits for both. A failure is told there.
    state.flush().catch(() => {});
    if (made !== undefined) this.#madeFor.set(record.id, made);
    return record;
  }

  /** The newcomer is here to stay. */
  confirm(guest: GuestRecord): void {
    this.#madeFor.delete(guest.id);
  }

  /** The newcomer could not be made, and is gone: what was made for it goes too. */
  abandon(guest: GuestRecord): void {
    const made = this.#madeFor.get(guest.id);
    this.#madeFor.delete(guest.id);
    if (made !== undefined) this.#o.dropNetwork(made);
  }

  /** Addresses of guests just removed are kept back for a moment; who needs one of those has them freed first. */
  #decide(newcomer: Newcomer): ReturnType<typeof admit> {
    try {
      return admit(newcomer, this.admission(this.world));
    } catch (error) {
      const lacksAddress = error instanceof NexusError && (error.code === "address-taken" || error.code === "pool-exhausted");
      if (!lacksAddress || !this.#o.wiring.releaseNow()) throw error;
      return admit(newcomer, this.admission(this.world));
    }
  }

  /** What admitting to a world asks: this one, or a copy of it. */
  admission(world: World): Admission {
    const { state, clock, listener } = this.#o;
    return { world, clock, remembered: (network, owner, family) => state.guests.remembered.find(network, owner, family), listener };
  }

  /** An attachment without a process: in the kernel when this resolves, or not at all. */
  createAttachment(newcomer: Newcomer): Promise<GuestRecord> {
    return this.lock.run(newcomer.spec.name, async () => this.#makeAttachment(newcomer));
  }

  #makeAttachment(newcomer: Newcomer): GuestRecord {
    const admitted = this.admit(newcomer, "running");
    try {
      this.attach(admitted);
    } catch (error) {
      this.#forget(admitted);
      this.abandon(admitted);
      throw error;
    }
    this.confirm(admitted);
    // Its row says that it should run; that it does is seen by looking, so no second write is needed.
    return this.#remember({ ...admitted, state: "running", startedAt: this.#o.clock.now() });
  }

  removeAttachment(name: Name): Promise<void> {
    return this.lock.run(name, async () => {
      const guest = this.find(name);
      if (guest?.kind === "netns") return this.erase(guest);
      throw new NexusError("not-found", `there is no attachment ${name}`, { hint: "nexus attachment ls lists them" });
    });
  }

  update(guest: GuestRecord, change: Partial<Lifecycle>): GuestRecord {
    const now = this.find(guest.name) ?? guest;
    const next = { ...now, ...change };
    this.#o.state.guests.setLifecycle(next.id, next);
    return this.#remember(next);
  }

  /** Writes down new interfaces for a guest that is not attached. */
  reattach(guest: GuestRecord): GuestRecord {
    this.#o.state.transaction(() => {
      this.#o.state.guests.setAttachments(guest.id, guest);
      this.#o.state.guests.setLifecycle(guest.id, guest);
    });
    return this.#remember(guest);
  }

  /** Writes down what a guest is to be from now on; who follows guests is told, also of the networks it leaves. */
  respecify(guest: GuestRecord): GuestRecord {
    const { state } = this.#o;
    const before = this.find(guest.name);
    const leaves = before?.attachments.filter((a) => !guest.attachments.some((b) => b.hostInterface === a.hostInterface)) ?? [];
    state.transaction(() => {
      state.guests.setSpec(guest.id, guest.spec);
      state.guests.setPublishes(guest.id, guest.publishes);
      if (before?.attachments === guest.attachments) return;
      state.guests.remembered.keep(guest.id);
      state.guests.setAttachments(guest.id, guest);
    });
    this.#remember(guest);
    if (!this.world.live.has(guest.name)) return guest;
    if (before !== undefined && leaves.length > 0) this.#o.onLeave({ ...before, attachments: leaves });
    this.#o.onChange(guest, true);
    return guest;
  }

  attach(guest: GuestRecord): void {
    try {
      this.#wire(guest);
    } catch (error) {
      if (!(error instanceof KernelError) || error.errno !== "ENODEV") throw error;
      // Somebody removed a bridge of ours a moment ago: it is put back without waiting for the reconcile.
      this.#o.wiring.settle();
      this.#wire(guest);
    }
    this.#o.onChange(guest, true);
  }

  #wire(guest: GuestRecord): void {
    this.world.live.add(guest.name);
    try {
      this.#o.wiring.attach(guest);
    } catch (error) {
      this.world.live.delete(guest.name);
      throw error;
    }
  }

  /** The guest is attached already: a daemon before this one did it. */
  goLive(name: Name): void {
    this.world.live.add(name);
    const guest = this.find(name);
    if (guest !== undefined) this.#o.onChange(guest, true);
  }

  detach(guest: GuestRecord): void {
    if (this.#endLife(guest)) this.#o.wiring.detach(guest);
  }

  /**
   * The guest vanishes: its addresses and ports are free at once, whatever happens, and its name for whoever holds the lock next. `remove`
   * ends what else there is of it. Its row stays until then, marked as leaving: after a crash at any point nothing of it comes back or is left.
   */
  async erase(guest: GuestRecord, remove = async (): Promise<void> => {}): Promise<void> {
    const { state, wiring, world } = this.#o;
    state.guests.retire(guest.id);
    const detached = this.#endLife(guest) ? wiring.detachAsync(guest) : undefined;
    world.removeGuest(guest);
    wiring.releaseLater(guest.leases);
    world.leaving.set(guest.id, guest);
    world.departing.add(guest.id);
    try {
      await detached;
      await remove();
    } finally {
      world.departing.delete(guest.id);
    }
    state.guests.delete(guest.id);
    world.leaving.delete(guest.id);
    wiring.erased(guest);
  }

  /** False when it was not live. */
  #endLife(guest: GuestRecord): boolean {
    if (!this.world.live.delete(guest.name)) return false;
    this.#o.onChange(guest, false);
    return true;
  }

  #forget(guest: GuestRecord): void {
    this.#o.state.guests.delete(guest.id);
    this.world.removeGuest(guest);
    this.#o.wiring.releaseLater(guest.leases);
  }

  #remember(guest: GuestRecord): GuestRecord {
    this.world.replaceGuest(guest);
    return guest;
  }
}
