import type { HostFacts } from "./host-facts.ts";
import type { NetworkEngine } from "./network-access.ts";
import { NexusError } from "../base/errors.ts";
import type { GuestRecord } from "../state/rows.ts";

/** In place of the kernel's side of networks, where this process may not change them: there are none, and whatever would need one is refused. */
export class NoNetworks implements NetworkEngine {
  readonly problems = new Map<string, string>();
  /** Nothing follows it. */
  readonly uplinkMtuBytes = 1500;
  readonly #uid: number;

  constructor(uid: number) {
    this.#uid = uid;
  }

  /** @throws NexusError not-permitted, always */
  requireRights(): never {
    throw new NexusError("not-permitted", `networks, nodes and attachments are root's, and this is the daemon of user ${this.#uid}`, {
      hint: "ask root's daemon: with sudo, or as a member of the group nexus (`sudo usermod -aG nexus $USER`, log in again, `sudo nexus daemon start`); virtual machines without --network need no right",
    });
  }

  /** Virtual machines in user mode have nothing to attach. */
  attach(guest: GuestRecord): void {
    if (guest.attachments.length > 0) this.requireRights();
  }

  get facts(): HostFacts {
    return this.requireRights();
  }

  routedPrefixes = () => this.requireRights();
  checkBridge = () => this.requireRights();
  addNetwork = () => this.requireRights();
  networkSteps = () => this.requireRights();
  removeNetwork = () => this.requireRights();
  attachSteps = () => this.requireRights();
  makeLinks = () => this.requireRights();
  forgetFlows = () => this.requireRights();
  pending = () => this.requireRights();
  pin = () => this.requireRights();
  forgetDepartures = () => this.requireRights();

  adopt(): void {}
  detach(): void {}
  erased(): void {}
  detachAsync = () => Promise.resolve();
  change(): void {}
  releaseLater(): void {}
  distrustFirewall(): void {}
  refreshUplink = () => false;
  releaseNow = () => false;
  counters = () => undefined;
  settle: NetworkEngine["settle"] = () => ({ done: [], leftovers: [], failed: [] });
  inspect: NetworkEngine["inspect"] = () => Promise.resolve(new Map());
  sweep: NetworkEngine["sweep"] = () => Promise.resolve([]);
}
