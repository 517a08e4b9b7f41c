import type { VerbContext } from "../context.ts";
import { together } from "../each-name.ts";
import { guestLine } from "../guest-text.ts";
import { noteUserMode } from "../user-mode.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";
import type { Name } from "../../base/names.ts";
import { type Action, changes } from "../../spec/compose/changes.ts";
import { startOrder } from "../../spec/compose/order.ts";
import { orphansOf, type Present } from "../../spec/compose/present.ts";
import { activeGuests, activeSandboxes, nameOf, type Project, type ProjectService } from "../../spec/compose/project.ts";
import { orphanRuns } from "../../spec/compose/run-changes.ts";
import { carryOut } from "./carry-out.ts";
import { untilCondition } from "./conditions.ts";
import { lockProject } from "./lock.ts";
import { openProject } from "./open.ts";
import { presentOn } from "./present.ts";
import { onlyServices } from "./services.ts";
import { withOwnKey } from "./own-key.ts";
import { untilReady } from "./ready.ts";
import { allRuns, newestRuns, runLine, runService, untilRun } from "./sandboxes.ts";
import { sealed } from "./sealed.ts";
import { parseDuration } from "../../spec/flags.ts";
import type { RunView } from "../../spec/run-view.ts";
import type { GuestView } from "../../spec/views.ts";

/** Brings the project, or some of its guests, to what its file says; says what it did. */
export async function up(c: VerbContext): Promise<void> {
  const project = sealed(c, withOwnKey(c, onlyServices(openProject(c), c.rest)));
  const client = await c.client();
  const removeOrphans = c.flags.on("remove-orphans");
  const plan = async () => {
    const present = await presentOn(client);
    if (!removeOrphans) noteOrphans(c, project, present);
    return changes(project, present, { removeOrphans });
  };
  if (c.flags.on("dry-run")) return report(c, project, { actions: await plan(), guests: [], runs: [] });
  const signal = c.interrupted();
  try {
    using _lock = await lockProject(c, project.directory, signal);
    const actions = await plan();
    await new Up(c, { client, project, signal }).perform(actions);
    if (c.flags.on("wait")) await untilReady(client, project, { patienceMs: patienceOf(c), signal, say: c.out.note });
    const all = await client.call("guest.list");
    const own = new Set<string>(activeGuests(project).map((guest) => guest.spec.name));
    const runs = newestRuns(await allRuns(client), project).filter((run) =>
      activeSandboxes(project).some(({ service }) => service === runService(run)),
    );
    report(c, project, { actions, guests: all.filter((guest) => own.has(guest.name)), runs });
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new NexusError("timeout", "interrupted: what was begun is whole, the rest was not begun", {
      hint: "nexus up goes on from here, nexus down takes it away",
      cause: error,
    });
  }
}

/** What the file has no more goes on until somebody says that it is to go. */
function noteOrphans(c: VerbContext, project: Project, present: Present): void {
  const names = [...orphansOf(project, present), ...orphanRuns(project, present)].map(({ name }): string => name);
  if (names.length > 0) c.out.note(`the file has no more, and there still is: ${names.join(", ")}; --remove-orphans takes it away`);
}

type Running = { client: Client; project: Project; signal: AbortSignal };

class Up {
  readonly #c: VerbContext;
  readonly #o: Running;

  constructor(c: VerbContext, running: Running) {
    this.#c = c;
    this.#o = running;
  }

  /** In the plan's order up to the guests; those in waves, each wave at once. @throws the failures of the first wave that has any */
  async perform(actions: readonly Action[]): Promise<void> {
    const byGuest = new Map<Name, Action[]>();
    for (const action of actions) {
      if ("guest" in action || "sandbox" in action) byGuest.set(action.name, [...(byGuest.get(action.name) ?? []), action]);
      else if (action.kind !== "remove-network") await this.#do(action);
    }
    for (const wave of startOrder(this.#o.project)) {
      const work = wave.filter((one) => byGuest.has(nameOf(one)));
      const failed = await atMost(4, work, (one) => this.#bring(one, byGuest.get(nameOf(one)) ?? []));
      if (failed.length > 0) throw together(failed);
    }
    for (const action of actions) if (action.kind === "remove-network") await this.#do(action);
  }

  async #bring({ service: own, dependsOn }: ProjectService, actions: readonly Action[]): Promise<void> {
    const { client, project, signal } = this.#o;
    for (const [service, { condition, required }] of dependsOn) {
      const needed = project.vms.get(service) ?? project.nodes.get(service) ?? project.sandboxes.get(service);
      if (needed === undefined || !needed.active) continue;
      try {
        const patienceMs = patienceOf(this.#c);
        if (needed.kind === "sandbox") await untilRun(client, { project, sandbox: needed, condition, patienceMs }, signal);
        else await untilCondition(client, { name: needed.spec.name, condition, patienceMs }, signal);
      } catch (error) {
        if (required || signal.aborted) throw error;
        this.#c.out.note(`${own} goes on without ${service}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    for (const action of actions) await this.#do(action);
  }

  async #do(action: Action): Promise<void> {
    const { client, signal } = this.#o;
    signal.throwIfAborted();
    const { text } = action;
    await carryOut(client, action, (line) => this.#c.out.note(`${action.name}: ${line}`));
    this.#c.out.note(`✓ ${text}`);
    if (action.kind !== "create-guest" && action.kind !== "recreate-guest") return;
    const { guest } = action;
    if (guest.kind === "vm" && guest.spec.networks.length === 0) await noteUserMode(client, action.name, this.#c.out.note);
  }
}

/** All of them, a few at a time; gives the failures. */
async function atMost<Item>(count: number, items: readonly Item[], act: (item: Item) => Promise<void>): Promise<unknown[]> {
  const queue = [...items];
  const failed: unknown[] = [];
  const lane = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await act(item).catch((error: unknown) => failed.push(error));
  };
  await Promise.all(Array.from({ length: count }, lane));
  return failed;
}

function patienceOf(c: VerbContext): number {
  const text = c.flags.text("wait-timeout");
  return text === undefined ? 300_000 : parseDuration("--wait-timeout", text);
}

type Outcome = { actions: readonly Action[]; guests: readonly GuestView[]; runs: readonly RunView[] };

function report(c: VerbContext, project: Project, { actions, guests, runs }: Outcome): void {
  const done = actions.map(({ kind, name, text }) => ({ kind, name, text }));
  c.out.result({ project: project.name, directory: project.directory, actions: done, guests, runs }, () => {
    if (c.flags.on("dry-run")) return actions.length === 0 ? "nothing to do\n" : actions.map(({ text }) => `${text}\n`).join("");
    const head = actions.length === 0 ? `${project.name} is as its file says\n` : "";
    return head + guests.map(guestLine).join("") + runs.map(runLine).join("");
  });
}
