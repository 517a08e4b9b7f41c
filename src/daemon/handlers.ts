import type { Answer, Handlers, Input } from "../api/contract.ts";
import { type OperationId, operations } from "../api/operations.ts";
import { NexusError } from "../base/errors.ts";
import type { Name } from "../base/names.ts";
import type { ExecSession } from "../guests/driver.ts";
import type { OciDriver } from "../guests/oci.ts";
import type { ConsoleSession, VmDriver } from "../guests/qemu-plan.ts";
import { netnsDirectory } from "../kernel/namespaces.ts";
import type { GuestView, NetworkView } from "../spec/views.ts";
import type { GuestRecord, NetworkRow } from "../state/rows.ts";
import type { Chronicle } from "./chronicle.ts";
import { anyGuest, removeGuest } from "./any-guest.ts";
import { changeGuest } from "./change-guest.ts";
import type { Facilities } from "./facilities.ts";
import { facilityOperations } from "./facility-operations.ts";
import { fileOperations } from "./guest-files.ts";
import type { Egress } from "./egress.ts";
import type { Guests } from "./guests.ts";
import type { Health } from "./health.ts";
import { imageOperations, type Images } from "./images.ts";
import type { Nodes, Vms } from "./kinds.ts";
import type { Machines } from "./machines.ts";
import type { Networks } from "./networks.ts";
import { permitted } from "./permitted.ts";
import { preview } from "./preview.ts";
import type { Reconciler } from "./reconciler.ts";
import { type Setups, sshUserOf } from "./setups.ts";
import { runOperations } from "./run-operations.ts";
import type { Runs } from "./runs.ts";
import type { Settings } from "./settings.ts";
import type { Volumes } from "./volumes.ts";
import { guestView, networkView } from "./views.ts";
import { answerWhy } from "./why.ts";
import type { NetworkEngine } from "./network-access.ts";
import type { World } from "./world.ts";

export type Rooms = {
  /** Resolves when all that was changed is on the disk. */
  flush: () => Promise<void>;
  world: World;
  networks: Networks;
  guests: Guests;
  nodes: Nodes;
  vms: Vms;
  wiring: NetworkEngine;
  egress: Egress;
  chronicle: Chronicle;
  reconciler: Reconciler;
  settings: Settings;
  images: Omit<Images, "nameOf">;
  volumes: Volumes;
  runs: Runs;
  facilities: Facilities;
  health: Health;
  setups: Setups;
  driver: OciDriver;
  vmDriver: VmDriver;
  matchDevices: Machines["matchDevices"];
  info: () => Answer<"info">;
  version: string;
  doctor: () => Promise<Answer<"doctor">>;
  /** Problems of a network beyond the kernel's: its DNS. */
  problemOf: (network: Name) => string | undefined;
  shutdown: () => void;
};

/** The API's operations. What changes something is answered when it is on the disk as well as in the kernel. */
export function makeHandlers(r: Rooms): Handlers {
  return durable(permitted(operationsOn(r), r.wiring), r.flush);
}

/** Each a few lines on what the rooms do. */
function operationsOn(r: Rooms): Handlers {
  const viewNetwork = (network: NetworkRow): NetworkView =>
    networkView(network, r.world, {
      uplinkMtuBytes: r.wiring.uplinkMtuBytes,
      problem: r.wiring.problems.get(network.name) ?? r.problemOf(network.name),
      counters: r.wiring.counters(network),
    });
  const viewGuest = (guest: GuestRecord): GuestView =>
    guestView(guest, r.world, {
      uplinkMtuBytes: r.wiring.uplinkMtuBytes,
      running: r.nodes.running(guest.name) ?? r.vms.running(guest.name),
      health: r.health.of(guest.name),
      setup: r.setups.of(guest.name),
      sshUser: sshUserOf(guest),
      netnsDirectory,
    });
  const node = lifeOperations(r.nodes, viewGuest);
  const vm = lifeOperations(r.vms, viewGuest);
  const ofKind = (kind: GuestRecord["kind"]) => r.guests.all().filter((guest) => guest.kind === kind);

  return {
    health: async () => ({ status: "ok" }),
    version: async () => ({ version: r.version, api: "v1", node: process.version }),
    info: async () => r.info(),

    "network.list": async () => r.networks.all().map(viewNetwork),
    "network.create": async ({ body }) => {
      const made = r.networks.create(body);
      if (made.spec.peers.length > 0) await r.reconciler.run(`network ${made.name}`);
      return viewNetwork(made);
    },
    "network.get": async ({ params }) => viewNetwork(r.networks.get(params.name)),
    "network.change": async ({ params, body }) => {
      r.networks.change(params.name, body);
      // What lies inside guests follows as well: MTU, default routes, routes to peers.
      await r.reconciler.run(`the change of network ${params.name}`);
      return viewNetwork(r.networks.get(params.name));
    },
    "network.remove": async ({ params, query }) => ({ removed: await removeNetwork(r, params.name, query.force) }),
    "network.reset": async ({ query }) => ({ removed: await reset(r, query.force) }),
    why: async ({ query }) => answerWhy(query, { ...r, domain: r.settings.config.dns.domain }),

    "guest.list": async () => r.guests.all().map(viewGuest),
    "guest.get": async ({ params }) => viewGuest(guestNamed(r, params.name)),
    "guest.change": async ({ params, body }) => viewGuest(await changeGuest(r, params.name, body)),
    "guest.start": async ({ params }, { progress }) => viewGuest(await anyGuest(r, params.name).lives.start(params.name, progress)),
    "guest.stop": async ({ params, query }) => viewGuest(await anyGuest(r, params.name).lives.stop(params.name, query.grace * 1000)),
    "guest.restart": async ({ params, query }, { progress }) =>
      viewGuest(await anyGuest(r, params.name).lives.restart(params.name, { graceMs: query.grace * 1000, progress })),
    "guest.remove": async ({ params }) => {
      await removeGuest(r, guestNamed(r, params.name).name);
      return { removed: [params.name] };
    },
    "guest.exec": async ({ params, body }) => anyGuest(r, params.name).exec(execRequest(body)),
    "guest.logs": async ({ params, query }, { signal }) => anyGuest(r, params.name).logs({ ...logWish(query), signal }),
    ...fileOperations((name) => anyGuest(r, name).files()),
    "node.list": async () => ofKind("container").map(viewGuest),
    "node.create": async ({ body, query }, { progress }) =>
      viewGuest(await r.nodes.create({ kind: "container", spec: body }, { start: query.start, progress })),
    "node.get": node.get,
    "node.start": node.start,
    "node.stop": node.stop,
    "node.restart": node.restart,
    "node.remove": node.remove,
    "node.exec": async ({ params, body }) => anyGuest(r, r.nodes.get(params.name).name).exec(execRequest(body)),
    "node.logs": async ({ params, query }, { signal }) => anyGuest(r, r.nodes.get(params.name).name).logs({ ...logWish(query), signal }),

    "vm.list": async () => ofKind("vm").map(viewGuest),
    "vm.create": async ({ body, query }, { progress }) =>
      viewGuest(await r.vms.create({ kind: "vm", spec: body }, { start: query.start, progress })),
    "vm.get": vm.get,
    "vm.start": vm.start,
    "vm.stop": vm.stop,
    "vm.restart": vm.restart,
    "vm.remove": vm.remove,
    "vm.exec": async ({ params, body }) => anyGuest(r, r.vms.get(params.name).name).exec(execRequest(body)),
    "vm.console": async ({ params }) => consoleSession(await r.vmDriver.console(r.vms.runningPlan(params.name))),
    "vm.logs": async ({ params, query }, { signal }) => anyGuest(r, r.vms.get(params.name).name).logs({ ...logWish(query), signal }),

    ...runOperations(r.runs),

    "attachment.list": async () => ofKind("netns").map(viewGuest),
    "attachment.create": async ({ body }) => viewGuest(await r.guests.createAttachment({ kind: "netns", spec: body })),
    "attachment.get": async ({ params }) => viewGuest(attachment(r, params.name)),
    "attachment.remove": async ({ params }) => {
      await r.guests.removeAttachment(params.name);
      return { removed: [params.name] };
    },

    ...imageOperations({ ...r.images, nameOf: (id) => r.guests.all().find((guest) => guest.id === id)?.name }),

    "volume.list": async () => r.volumes.list(),
    "volume.create": async ({ body }) => r.volumes.create(body),
    "volume.remove": async ({ params }) => {
      r.volumes.remove(params.name);
      return { removed: [params.name] };
    },

    ...facilityOperations(r.facilities),

    "config.show": async () => ({ ...(r.settings.file === undefined ? {} : { file: r.settings.file }), settings: r.settings.all() }),
    "config.get": async ({ params }) => r.settings.get(params.key),
    "config.set": async ({ params, body }) => r.settings.set(params.key, body.value),
    "config.unset": async ({ params }) => r.settings.unset(params.key),

    "event.list": async ({ query }, { signal }) => r.chronicle.read({ ...query, signal }),
    "plan.preview": async ({ body }) => ({ steps: preview(body, r) }),
    "plan.pending": async () => ({ steps: await r.wiring.pending() }),
    reconcile: async () => ({ steps: await r.reconciler.run("a request") }),
    doctor: async () => r.doctor(),
    shutdown: async () => {
      // After the answer has gone out.
      setTimeout(r.shutdown, 20);
      return { status: "ok" };
    },
  };
}

/** What nodes and virtual machines have in common. */
function lifeOperations(lives: Nodes | Vms, view: (guest: GuestRecord) => GuestView) {
  return {
    get: async ({ params }: Named) => view(lives.get(params.name)),
    start: async ({ params }: Named, { progress }: { progress: (line: string) => void }) => view(await lives.start(params.name, progress)),
    stop: async ({ params, query }: Named & Graceful) => view(await lives.stop(params.name, query.grace * 1000)),
    restart: async ({ params, query }: Named & Graceful, { progress }: { progress: (line: string) => void }) =>
      view(await lives.restart(params.name, { graceMs: query.grace * 1000, progress })),
    remove: async ({ params, query }: Named & { query: { force: boolean } }) => {
      await lives.remove(params.name, { force: query.force });
      return { removed: [params.name] };
    },
  };
}

type Named = { params: { name: Name } };
type Graceful = { query: { grace: number } };

/** A console as a session: it ends when the caller goes or the guest does, and has no exit code of its own. */
function consoleSession(console: ConsoleSession): ExecSession {
  const ended = new Promise<number>((resolve) => console.output.once("close", () => resolve(0)));
  return {
    stdin: console.input,
    stdout: console.output,
    stderr: undefined,
    resize() {},
    kill: () => console[Symbol.dispose](),
    exitCode: ended,
  };
}

type Plain = (input: never, context: never) => Promise<unknown>;

function durable(handlers: Handlers, flush: () => Promise<void>): Handlers {
  const wrap = ([id, handler]: [string, Plain]): [string, Plain] => {
    // A command in a guest has begun by then; what is written down of it is for a daemon that dies, not for a host that does.
    const { method, answers } = operations[id as OperationId];
    if (method === "GET" || answers === "upgrade") return [id, handler];
    return [
      id,
      async (input, context) => {
        const answer = await handler(input, context);
        await flush();
        return answer;
      },
    ];
  };
  return Object.fromEntries(Object.entries(handlers).map(wrap)) as Handlers;
}

/** With force, the guests that use it go first. */
async function removeNetwork(r: Rooms, name: Name, force: boolean): Promise<string[]> {
  r.networks.get(name);
  const removed: string[] = [];
  if (force) {
    for (const guest of r.guests.all()) {
      if (!guest.attachments.some((a) => a.network === name)) continue;
      await removeGuest(r, guest.name);
      removed.push(guest.name);
    }
  }
  r.networks.remove(name);
  return [...removed, name];
}

async function reset(r: Rooms, force: boolean): Promise<string[]> {
  const running = r.guests.all().filter((guest) => (r.nodes.running(guest.name) ?? r.vms.running(guest.name)) !== undefined);
  if (running.length > 0 && !force) {
    throw new NexusError("in-use", `these guests run: ${running.map((g) => g.name).join(", ")}`, {
      hint: "stop them first, or use --force, which removes every guest",
    });
  }
  const removed: string[] = [];
  for (const guest of r.guests.all()) {
    await removeGuest(r, guest.name);
    removed.push(guest.name);
  }
  for (const network of r.networks.all()) {
    r.networks.remove(network.name);
    removed.push(network.name);
  }
  await r.reconciler.run("a reset");
  return removed;
}

function guestNamed(r: Rooms, name: Name): GuestRecord {
  const guest = r.guests.find(name);
  if (guest !== undefined) return guest;
  throw new NexusError("not-found", `there is no guest ${name}`, { hint: "`nexus node ls` and `nexus vm ls` list them" });
}

function attachment(r: Rooms, name: Name): GuestRecord {
  const guest = r.guests.find(name);
  if (guest?.kind === "netns") return guest;
  throw new NexusError("not-found", `there is no attachment ${name}`, { hint: "nexus attachment ls lists them" });
}

function logWish({ tail, follow }: { tail?: number | undefined; follow: boolean }) {
  return { follow, ...(tail === undefined ? {} : { tailLines: tail }) };
}

function execRequest(body: Input<"node.exec">["body"]) {
  const { command, env, cwd, terminal } = body;
  return { command, env, ...(cwd === undefined ? {} : { cwd }), ...(terminal === undefined ? {} : { terminal }) };
}
