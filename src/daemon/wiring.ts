import { NexusError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { IfName } from "../base/names.ts";
import type { Ip } from "../base/ip.ts";
import type { Prefix } from "../base/prefix.ts";
import type { Host } from "../apply/host.ts";
import { executeAll, executeEach, type Perform, performOn } from "../apply/execute.ts";
import { nothingObserved, observe, observeGuestSide, readLinks, routedPrefixes, uplinkMtu } from "../apply/observe.ts";
import { removeNamespaceAsync } from "../kernel/namespaces.ts";
import { planAttachment } from "../plan/attachment.ts";
import { restricts } from "../plan/egress.ts";
import { explain } from "../plan/explain.ts";
import { addElements, deleteElements, elementDelta } from "../plan/firewall/delta.ts";
import { attachmentElements, networkElements, peersOf, publishElements, type SetElement } from "../plan/firewall/elements.ts";
import { counterName } from "../plan/firewall/inet-table.ts";
import { type PinChange, pinChanges } from "../plan/firewall/pins.ts";
import { foreignBridge, isPrimary, peersFrom, plan, type Plan } from "../plan/plan.ts";
import type { Observed } from "../plan/observed.ts";
import { type AttachmentRecord, namespacesOf, type NetworkRecord, type PublishRecord } from "../plan/records.ts";
import type { Step } from "../plan/steps.ts";
import type { TakenPrefix } from "../plan/subnets.ts";
import type { FirewallChange } from "../wire/nftables/model.ts";
import type { GuestRecord, LeaseRow, NetworkRow } from "../state/rows.ts";
import type { State } from "../state/state.ts";
import type { Chronicle } from "./chronicle.ts";
import { HostFacts } from "./host-facts.ts";
import { FirewallKeeper } from "./firewall-keeper.ts";
import { Released } from "./released.ts";
import { isGlobal, restoreSettings } from "./restore-settings.ts";
import { attachmentsOf, isInUserMode, publishesOf, type World } from "./world.ts";

export type WiringOptions = {
  world: World;
  state: State;
  host: Host;
  chronicle: Chronicle;
  log: Log;
  /** Pids of running guests by the name of their namespace. */
  residents: () => ReadonlyMap<string, number>;
  /** Running virtual machines that have the queues of a tap open, by its name. */
  tapHolders: () => Observed["tapHolders"];
};

/** Guests looked into before others get their turn: some two milliseconds. */
const inspectedAtOnce = 16;

/** The kernel's side of networks and attachments: small changes are planned for one object, everything else for the whole host. */
export class Wiring {
  readonly #o: WiringOptions;
  readonly #perform: Perform;
  readonly #keeper: FirewallKeeper;
  readonly #released: Released;
  #uplinkMtuBytes = 1500;
  readonly facts: HostFacts;
  /** Why a network is not as it should be, by name. */
  readonly problems = new Map<string, string>();

  constructor(options: WiringOptions) {
    this.#o = options;
    this.facts = new HostFacts({ world: options.world, host: options.host, uplinkMtuBytes: () => this.#uplinkMtuBytes });
    const onHost = performOn(options.host);
    this.#perform = (step) => {
      // What was there is written down before it is changed, so that it can be put back after any crash.
      if (step.kind === "set-sysctl" && step.was !== undefined && isGlobal(step.path))
        options.state.sysctls.keep(step.path.join("/"), step.was);
      if (step.kind === "firewall") this.#keeper.apply(step, () => options.world.desired());
      else onHost(step);
    };
    this.#keeper = new FirewallKeeper(options.host.firewall, options.log);
    this.#released = new Released(options.world, (prefixes) => this.#forgetFlows(prefixes));
    this.refreshUplink();
  }

  /** This is the engine that has them. */
  requireRights(): void {}

  get uplinkMtuBytes(): number {
    return this.#uplinkMtuBytes;
  }

  /** Before anything else: takes over what a daemon before us left. @throws NexusError daemon-running */
  adopt(): void {
    this.#keeper.adopt();
    this.#o.world.pins.load(this.#keeper.pins());
  }

  /** Reads the MTU that networks with `mtu: auto` follow; true when it changed. */
  refreshUplink(): boolean {
    const { links, routes } = readLinks(this.#o.host.route);
    const now = uplinkMtu(links, routes);
    const changed = now !== this.#uplinkMtuBytes;
    this.#uplinkMtuBytes = now;
    return changed;
  }

  routedPrefixes(): TakenPrefix[] {
    return routedPrefixes(this.#o.host);
  }

  /** @throws NexusError bridge-foreign */
  checkBridge(network: NetworkRecord): void {
    const { links } = readLinks(this.#o.host.route);
    const problem = foreignBridge(
      network,
      links.find((l) => l.name === network.bridge),
    );
    if (problem !== undefined)
      throw new NexusError("bridge-foreign", problem, {
        hint: `nexus network create ${network.name} --bridge NAME`,
        details: { bridge: network.bridge },
      });
  }

  /** The network is in the world already. All of it is made, or nothing. @throws KernelError */
  addNetwork(network: NetworkRow): void {
    executeAll(this.networkSteps(network, this.#o.world), this.#perform);
  }

  /** What making a network takes, in a world that has it already. */
  networkSteps(network: NetworkRow, world: World): Step[] {
    const observed = observe(this.#o.host, {
      networks: [network],
      attachments: [],
      dormant: [],
      guestSides: new Map(),
      residents: new Map(),
      tapHolders: new Map(),
    });
    const alone = plan(
      { instance: world.instance, networks: [network], attachments: [], publishes: [], pins: [] },
      { ...observed, provenNamespaces: new Set() },
    );
    const all = [...world.networks.values()];
    const others = all.filter((n) => n.name !== network.name);
    return [...this.#firewallForNetworks({ before: others, after: all, network, op: `add network ${network.name}` }), ...alone.networks];
  }

  /** The network is gone from the world already, and no guest uses it; `before` is what networks there were with it. */
  removeNetwork(network: NetworkRow, before: NetworkRow[]): void {
    // Another network may have its addresses at once.
    this.#released.free();
    const rest = [...this.#o.world.networks.values()];
    const steps: Step[] = [
      { kind: "delete-link", name: network.bridge, why: `network ${network.name} was removed` },
      ...this.#firewallForNetworks({ before, after: rest, network, op: `remove network ${network.name}` }),
    ];
    this.#report(executeEach(steps, this.#perform));
    this.problems.delete(network.name);
    if (rest.length === 0) restoreSettings(this.#o);
  }

  /** The guest is among the live ones already. All of its attachments are made, or none. @throws KernelError */
  attach(guest: GuestRecord): void {
    executeAll([...this.#userMode(guest), ...this.attachSteps(guest, this.#o.world)], this.#perform);
  }

  attachSteps(guest: GuestRecord, world: World): Step[] {
    const elements = elementsOf(guest, world);
    const steps: Step[] =
      elements.length === 0
        ? []
        : [{ kind: "firewall", op: `attach guest ${guest.name}`, changes: addElements(elements), undo: deleteElements(elements) }];
    return [...steps, ...this.#linkSteps(guest, attachmentsOf(guest), world), ...this.#forgetting(guest)];
  }

  #linkSteps(guest: GuestRecord, wanted: readonly AttachmentRecord[], world: World): Step[] {
    const desired = { networks: [...world.networks.values()], attachments: attachmentsOf(guest) };
    const observed = nothingObserved(this.#uplinkMtuBytes);
    const steps: Step[] = [];
    for (const attachment of wanted) {
      const network = world.networks.get(attachment.network);
      if (network !== undefined)
        steps.push(
          ...planAttachment(
            { attachment, network, primary: isPrimary(attachment, desired), peers: peersFrom(attachment, desired) },
            observed,
          ),
        );
      if (attachment.end.kind === "namespace") observed.namespaces.add(attachment.end.netns);
    }
    return steps;
  }

  /**
   * The ports, networks and egress policies of a live guest become other ones, but for the links of new networks; `unpinned` is what the
   * policies took back. @throws KernelError; then they are as they were
   */
  change(before: GuestRecord, after: GuestRecord, unpinned: readonly PinChange[]): void {
    const elements = (guest: GuestRecord) => elementsOf(guest, this.#o.world);
    const changes = [...elementDelta(elements(before), elements(after)), ...pinChanges(unpinned)];
    const undo = elementDelta(elements(after), elements(before));
    if (changes.length > 0) executeAll([{ kind: "firewall", op: `change guest ${after.name}`, changes, undo }], this.#perform);
    const left = before.attachments.filter((a) => !after.attachments.some((b) => b.hostInterface === a.hostInterface));
    const gone = left.map((a): Step => ({ kind: "delete-link", name: a.hostInterface, why: `${after.name} left network ${a.network}` }));
    this.#report(executeEach([...gone, ...this.#forgetting(before), ...this.#forgetting(after)], this.#perform));
    const had = new Map(attachmentsOf(before).map(({ nic, egress }) => [nic, egress]));
    const narrowed = attachmentsOf(after).filter(({ nic, egress }) => had.has(nic) && restricts(egress) && egress !== had.get(nic));
    this.forgetDepartures(narrowed.flatMap(({ addresses }) => addresses));
  }

  /** Links of some attachments, anew: what may be there has no guest at its other end. @throws KernelError; then there are none */
  makeLinks(guest: GuestRecord, nics: readonly number[]): void {
    const wanted = attachmentsOf(guest).filter((a) => nics.includes(a.nic));
    const stale = wanted.map((a): Step => ({ kind: "delete-link", name: a.hostInterface, why: "it is made anew" }));
    executeAll([...stale, ...this.#linkSteps(guest, wanted, this.#o.world)], this.#perform);
  }

  /** Lets guests reach these addresses, before they hear of them. @throws KernelError */
  pin(changes: readonly PinChange[]): void {
    executeAll([{ kind: "firewall", op: "pin addresses", changes: pinChanges(changes), undo: [] }], this.#perform);
  }

  /** What an egress policy let these addresses begin is judged anew, but for what they may still reach. */
  forgetDepartures(sources: readonly Ip[]): void {
    const kept = sources.flatMap((source) => this.#o.world.pins.of(source));
    if (sources.length > 0) this.#report(executeEach([{ kind: "forget-departures", sources, kept }], this.#perform));
  }

  /** The guest is no longer among the live ones. Goes as far as it can; the kernel takes the links away in its own time. */
  detach(guest: GuestRecord): void {
    const removals = [...namespacesOf(attachmentsOf(guest))].map((name): Step => ({ kind: "remove-namespace", name }));
    this.#report(executeEach([...this.#unplugging(guest), ...removals, ...this.#userMode(guest)], this.#perform));
  }

  /** The guest is gone, and its processes with it: what held them is no longer needed. */
  erased(guest: GuestRecord): void {
    this.#report(executeEach(this.#userMode(guest), this.#perform));
  }

  /** As detach; only the namespace's end, for which the kernel waits, is left to a thread. Nobody may attach a guest of that name meanwhile. */
  async detachAsync(guest: GuestRecord): Promise<void> {
    const failed = executeEach(this.#unplugging(guest), this.#perform);
    for (const name of namespacesOf(attachmentsOf(guest)))
      await removeNamespaceAsync(name).catch((error: unknown) => failed.push({ step: { kind: "remove-namespace", name }, error }));
    this.#report(failed);
  }

  /** Of guests that were removed: nobody else's until the connections they had are forgotten. */
  releaseLater(leases: readonly Pick<LeaseRow, "network" | "address">[]): void {
    this.#released.add(leases);
  }

  /** At once, because somebody needs the addresses; false when none are waiting. */
  releaseNow(): boolean {
    return this.#released.free();
  }

  /** What a policy let pass before is judged anew. */
  forgetFlows(network: NetworkRow): void {
    this.#forgetFlows(network.subnets.map((s) => s.prefix));
  }

  /** What a reconcile would do now, as commands. */
  async pending(): Promise<string[]> {
    const { steps } = this.#compare(await this.inspect());
    return [...steps.networks, ...this.#keeper.plan(this.#o.world.desired()), ...steps.attachments, ...steps.leftovers].flatMap(explain);
  }

  /** Looks inside every live guest's namespace, a few at a time: others get their turn in between. */
  async inspect(): Promise<Observed["guestSides"]> {
    const sides: Observed["guestSides"] = new Map();
    for (const { end, guest, nic, hostInterface } of this.#o.world.desired().attachments) {
      if (end.kind !== "namespace") continue;
      if (sides.size % inspectedAtOnce === inspectedAtOnce - 1) await new Promise((resolve) => setImmediate(resolve));
      if (this.#o.world.live.has(guest)) sides.set(hostInterface, observeGuestSide(nic, end.netns));
    }
    return sides;
  }

  /** Makes everything as it should be, at once; gives what was done. Links to delete are left to `sweep`. */
  settle(guestSides: Observed["guestSides"] = new Map()): { done: string[]; leftovers: IfName[]; failed: unknown[] } {
    const { steps } = this.#compare(guestSides);
    const firewall = this.#keeper.plan(this.#o.world.desired());
    const deletions = steps.leftovers.filter((s) => s.kind === "delete-link");
    const now = [...steps.networks, ...firewall, ...steps.attachments, ...steps.leftovers.filter((s) => s.kind !== "delete-link")];
    const failed = executeEach(now, this.#perform);
    this.#report(failed);
    const done = now.filter((step) => !failed.some((f) => f.step === step)).flatMap(explain);
    if (this.#o.world.networks.size === 0) restoreSettings(this.#o);
    return { done, leftovers: deletions.map((s) => s.name), failed: failed.map((f) => f.error) };
  }

  /** Deletes links that belong to nothing, off the event loop's path. */
  async sweep(names: readonly IfName[]): Promise<string[]> {
    const done: string[] = [];
    for (const name of names) if (await this.#o.host.deleteLater(name)) done.push(`ip link delete dev ${name}`);
    return done;
  }

  counters(network: NetworkRow): { packets: number; bytes: number } | undefined {
    const all = this.#keeper.counters();
    const values = [counterName(network, "out"), counterName(network, "in")].flatMap((name) => all.get(name) ?? []);
    return values.length === 0
      ? undefined
      : { packets: Number(values.reduce((n, v) => n + v.packets, 0n)), bytes: Number(values.reduce((n, v) => n + v.bytes, 0n)) };
  }

  /** Somebody else changed our tables. */
  distrustFirewall(): void {
    this.#keeper.distrust();
  }

  #compare(guestSides: Observed["guestSides"]): { steps: Plan } {
    const { world, host } = this.#o;
    const desired = world.desired();
    const observed = observe(host, {
      networks: desired.networks,
      attachments: desired.attachments,
      dormant: world.dormant(),
      guestSides,
      residents: this.#o.residents(),
      tapHolders: this.#o.tapHolders(),
    });
    this.#uplinkMtuBytes = observed.uplinkMtuBytes;
    const steps = plan(desired, observed);
    this.problems.clear();
    for (const { network, problem } of steps.blocked) this.problems.set(network, problem);
    return { steps };
  }

  #firewallForNetworks({
    before,
    after,
    network,
    op,
  }: {
    before: NetworkRecord[];
    after: NetworkRecord[];
    network: NetworkRecord;
    op: string;
  }): Step[] {
    if (before.length === 0 || after.length === 0) return this.#keeper.planAnew({ ...this.#o.world.desired(), networks: after });
    const affected = [network, ...peersOf(network, before.length > after.length ? before : after)];
    const elements = (all: NetworkRecord[]) =>
      affected.filter((n) => all.some((m) => m.name === n.name)).flatMap((n) => networkElements(n, all));
    const counters = [counterName(network, "out"), counterName(network, "in")];
    const adds = after.length > before.length;
    const table = { family: "inet", table: "nexus", names: counters } as const;
    const create: FirewallChange = { kind: "add-counters", ...table };
    const destroy: FirewallChange = { kind: "delete-counters", ...table };
    const delta = elementDelta(elements(before), elements(after));
    const back = elementDelta(elements(after), elements(before));
    // A counter exists before a map names it, and goes after.
    return [
      {
        kind: "firewall",
        op,
        changes: adds ? [create, ...delta] : [...delta, destroy],
        undo: adds ? [...back, destroy] : [create, ...back],
      },
    ];
  }

  /** The rules for machines in user mode come with the first and go with the last. */
  #userMode(guest: GuestRecord): Step[] {
    return isInUserMode(guest) ? this.#keeper.planAnew(this.#o.world.desired()) : [];
  }

  #forgetFlows(prefixes: Prefix[]): void {
    this.#report(executeEach([{ kind: "forget-flows", prefixes }], this.#perform));
  }

  /** All of a detachment but the end of the guest's namespace. */
  #unplugging(guest: GuestRecord): Step[] {
    const pins = this.#o.world.pins.release(guest.leases.map(({ address }) => address));
    const changes = [...deleteElements(elementsOf(guest, this.#o.world)), ...pinChanges(pins)];
    const steps: Step[] = changes.length === 0 ? [] : [{ kind: "firewall", op: `detach guest ${guest.name}`, changes, undo: [] }];
    // A tap goes with the virtual machine, unless it was never handed over.
    for (const { end, hostInterface } of attachmentsOf(guest)) if (end.kind === "tap") this.#o.host.taps.close(hostInterface);
    return [...steps, ...this.#forgetting(guest)];
  }

  /** A client that keeps sending UDP from one port would otherwise keep its old destination for ever. */
  #forgetting(guest: GuestRecord): Step[] {
    const udp = (p: PublishRecord) => p.protocol === "udp";
    return publishesOf(guest, this.#o.world.networks)
      .filter(udp)
      .map((p) => ({
        kind: "forget-connections",
        protocol: p.protocol,
        hostAddress: p.hostAddress,
        from: p.hostPort,
        to: p.hostPortEnd ?? p.hostPort,
      }));
  }

  #report(failed: { step: Step; error: unknown }[]): void {
    for (const { step, error } of failed) {
      const message = error instanceof Error ? error.message : String(error);
      this.#o.log.error({ step: explain(step), error: message }, "a step failed");
      this.#o.chronicle.tell({ kind: "repair.failed", subject: step.kind, message: `${explain(step)[0]}: ${message}` });
    }
  }
}

function elementsOf(guest: GuestRecord, world: World): SetElement[] {
  return [...attachmentsOf(guest).flatMap(attachmentElements), ...publishesOf(guest, world.networks).flatMap(publishElements)];
}
