import type { Answer } from "../api/contract.ts";
import type { Audience } from "../api/listen.ts";
import { Host } from "../apply/host.ts";
import { NexusError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { mayAdministerNetworks } from "../kernel/rights.ts";
import { TapStock } from "../kernel/taps.ts";
import { takeAbstractLock } from "../kernel/unix-socket.ts";
import { NoNetworks } from "./no-networks.ts";
import { type Watched, watchKernel } from "./watches.ts";
import { Wiring, type WiringOptions } from "./wiring.ts";

/** The kernel's side of networks, as the rest of the daemon uses it. */
export type NetworkEngine = { [Member in keyof Wiring]: Wiring[Member] };

/** What this process may do to the host's networks. Whatever differs between root's daemon and a user's own comes from here. */
export type NetworkAccess = Disposable & {
  scope: Answer<"info">["scope"];
  features: Answer<"info">["features"];
  taps: TapStock;
  /** Makes the engine; called once. */
  engine(o: Omit<WiringOptions, "host">): NetworkEngine;
  /** Listens to the kernel, once everything else stands. */
  watch(o: Omit<Watched, "host" | "wiring">): Disposable;
  /** Who may open the socket. */
  audience(group: string): Audience;
};

/** The bound name that makes a second daemon in one network namespace impossible. */
const lockName = "nexus/nexusd";

/** The host's networks for root, and for whoever else has the right; none for an ordinary user. @throws NexusError daemon-running, not-permitted; KernelError */
export function openNetworkAccess(uid: number, log: Log): NetworkAccess {
  return uid !== 0 && !mayAdministerNetworks() ? noNetworks(uid) : hostNetworks(log);
}

/** Two users' daemons share nothing on the host: their state directories keep each to one. */
function noNetworks(uid: number): NetworkAccess {
  const taps = new TapStock();
  return {
    scope: "user",
    features: [{ name: "networks", present: false, note: "this is a user's own daemon; networks, nodes and attachments need root's" }],
    taps,
    engine: () => new NoNetworks(uid),
    watch: () => ({ [Symbol.dispose]() {} }),
    audience: () => ({ kind: "owner" }),
    [Symbol.dispose]: () => taps[Symbol.dispose](),
  };
}

function hostNetworks(log: Log): NetworkAccess {
  using stack = new DisposableStack();
  stack.use(onlyDaemonHere(log));
  const host = stack.use(openHost());
  let wiring: Wiring | undefined;
  const { ownerPersist } = host.firewall.features;
  const kept = stack.move();
  return {
    scope: "host",
    features: [
      {
        name: "owner-persist",
        present: ownerPersist,
        ...(ownerPersist ? {} : { note: "tables are watched and rebuilt instead (Linux 6.9 has it)" }),
      },
    ],
    taps: host.taps,
    engine: (o) => (wiring = new Wiring({ ...o, host })),
    watch(o) {
      if (wiring === undefined) throw new TypeError("the engine is made first");
      return watchKernel({ ...o, host, wiring });
    },
    audience: (name) => ({ kind: "group", name }),
    [Symbol.dispose]: () => kept.dispose(),
  };
}

function onlyDaemonHere(log: Log): Disposable {
  const lock = takeAbstractLock(lockName);
  if (lock.kind === "held") return lock.lock;
  const { holder } = lock;
  // Anybody may bind an abstract name: only root and ourselves are believed. The tables' owner still tells two daemons apart.
  if (holder !== undefined && holder.uid !== 0 && holder.uid !== process.getuid?.()) {
    log.warn({ ...holder }, `the name @${lockName} is held by a user who cannot be a daemon here; gone on without it`);
    return { [Symbol.dispose]() {} };
  }
  const who = holder === undefined ? "" : ` (pid ${holder.pid})`;
  throw new NexusError("daemon-running", `another nexusd${who} serves this network namespace`, {
    hint: `stop it with \`nexus daemon stop\`${holder === undefined ? "" : `, or with \`kill ${holder.pid}\` when its socket is gone`}`,
    details: { pid: holder?.pid },
  });
}

function openHost(): Host {
  try {
    return Host.open();
  } catch (error) {
    if (error instanceof Error && "errno" in error && error.errno === "EPERM") {
      throw new NexusError("not-permitted", "the kernel refuses network changes: CAP_NET_ADMIN is missing", {
        hint: "run nexusd as root, as a system service does; `nexus doctor` says more",
        cause: error,
      });
    }
    throw error;
  }
}
