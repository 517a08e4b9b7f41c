import { readFileSync } from "node:fs";
import { bringUpNetworks, bringUpNodes, bringUpVms, type BringUp, refuseForeignNames } from "./bring-up.ts";
import { claims } from "./claims.ts";
import { bridgesUp, nodesApart } from "./claims-objects.ts";
import { ensurePackages } from "./ensure-packages.ts";
import { readExample } from "./example.ts";
import { daemonPlaces, missingTraces } from "./host-traces.ts";
import { refreshLists } from "./install.ts";
import { invocation } from "./invocation.ts";
import { lookForPackages } from "./packages.ts";
import { findProgram, searchPath } from "./programs.ts";
import { mergeMade, nothingMade, type QuickstartRecord, readRecord, writeRecord } from "./record.ts";
import { makeReport } from "./report.ts";
import { makeScene, publishOf, urlOf } from "./scene.ts";
import type { VerbContext } from "../context.ts";
import type { Client } from "../../api/client.ts";
import { errorCatalogue, NexusError } from "../../base/errors.ts";
import type { GuestView, NetworkView } from "../../spec/views.ts";

/** Sets everything up and proves it; gives the exit code. @throws NexusError for what is refused before anything is touched */
export async function setUp(c: VerbContext): Promise<number> {
  const path = searchPath(c.io.env);
  const again = invocation(["quickstart", "--yes", ...(c.out.json ? ["--json"] : [])]);
  const example = readExample();
  const places = daemonPlaces(c.io);
  const signal = c.interrupted();
  const progress = c.progress();
  const began = performance.now();
  const report = makeReport(c, { progress, signal });
  const installed = await ensurePackages(c, { path, again, signal, progress: (line) => progress.show(line) }).catch((error: unknown) => {
    if (signal.aborted) return undefined;
    throw error;
  });
  if (installed === undefined) {
    c.out.result({ ok: false, checks: [] }, () => "\nInterrupted before the example was touched.\n");
    return interruptedExit;
  }

  await report.check("packages", async () => {
    const found = lookForPackages(path)
      .present.map(({ package: name, at }) => `${name} (${at})`)
      .join(", ");
    return installed.length === 0 ? found : `${found}; installed ${installed.join(", ")}`;
  });

  let client: Client | undefined;
  let brought: { record: QuickstartRecord; save: () => void } | undefined;
  await report.check(
    "daemon",
    async () => {
      const before = missingTraces(places);
      const wasRunning = await pidOf(c);
      client = await c.client();
      const { pid, version, stateDir } = await client.call("info", {}, { timeoutMs: 5000 });
      const record = recordFor({ stateDir, installed, pid, before, ours: wasRunning !== pid });
      const save = () => writeRecord(stateDir, record);
      save();
      brought = { record, save };
      return `nexusd ${version}, pid ${pid}, ${wasRunning === pid ? "was running" : "started"}`;
    },
    30_000,
  );

  await using cleanup = new AsyncDisposableStack();
  let networks: ReadonlyMap<string, NetworkView> = new Map();
  let nodes: ReadonlyMap<string, GuestView> = new Map();
  let vms: ReadonlyMap<string, GuestView> = new Map();
  const up: BringUp | undefined =
    client === undefined || brought === undefined
      ? undefined
      : { client, example, ...brought, signal, progress: (line) => progress.show(line) };
  const isUp =
    up !== undefined &&
    (await report.check("networks", async () => {
      await refuseForeignNames(up);
      networks = (await bringUpNetworks(up)).views;
      return bridgesUp(networks.values(), path);
    })) &&
    (await report.check(
      "nodes",
      async () => {
        nodes = (await bringUpNodes(up)).views;
        return nodesApart(nodes.values());
      },
      60_000,
    )) &&
    (await report.check(
      "vms",
      async () => {
        vms = await withFreshLists(() => bringUpVms(up), { path, mayUpdate: c.flags.on("yes"), signal, progress: up.progress });
        return [...vms.values()].map((vm) => `${vm.name} ${vm.attachments.map((a) => a.addresses.join(" ")).join(" ")}`).join(", ");
      },
      // What it is built from may have to be fetched first.
      300_000,
    ));
  if (isUp) {
    const scene = makeScene({ client: up.client, path, example, networks, nodes, vms, cleanup });
    for (const claim of claims.filter(({ onlyOn }) => onlyOn === undefined || onlyOn === process.arch)) {
      if (signal.aborted) break;
      await report.check(claim.name, () => claim.prove(scene), claim.deadlineMs);
    }
  }
  progress[Symbol.dispose]();
  await report.idle();
  await cleanup.disposeAsync();

  const ok = isUp && !signal.aborted && report.results.every((result) => result.ok);
  c.out.result({ ok, checks: report.results }, () =>
    closing({
      c,
      ok,
      isUp,
      failed: report.results.filter((r) => !r.ok).map((r) => r.name),
      seconds: (performance.now() - began) / 1000,
      nodes,
      interrupted: signal.aborted,
    }),
  );
  return ok ? 0 : signal.aborted ? interruptedExit : errorCatalogue.internal.exit;
}

/** Virtual machines are built from packages, which a machine that has never asked for any does not know. */
async function withFreshLists(
  bringUp: () => Promise<{ views: Map<string, GuestView> }>,
  { path, mayUpdate, signal, progress }: { path: string; mayUpdate: boolean; signal: AbortSignal; progress: (line: string) => void },
): Promise<Map<string, GuestView>> {
  try {
    return (await bringUp()).views;
  } catch (error) {
    const aptGet = findProgram("apt-get", path);
    if (!mayUpdate || aptGet === undefined || !(error instanceof NexusError) || error.code !== "image-missing") throw error;
    await refreshLists({ path, aptGet, progress, signal });
    return (await bringUp()).views;
  }
}

/** As a shell gives it for a command that SIGINT ended. */
const interruptedExit = 130;

/** The daemon that serves already, or undefined. */
async function pidOf(c: VerbContext): Promise<number | undefined> {
  const { openClient } = await import("../../api/client.ts");
  const client = openClient(c.socketPath);
  try {
    return (await client.call("info", {}, { timeoutMs: 5000 })).pid;
  } catch {
    return undefined;
  } finally {
    client.close();
  }
}

type Started = { stateDir: string; installed: readonly string[]; pid: number; before: QuickstartRecord["made"]; ours: boolean };

function recordFor({ stateDir, installed, pid, before, ours }: Started): QuickstartRecord {
  const known = readRecord(stateDir);
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const made = ours ? mergeMade(known?.made ?? nothingMade, before, known?.daemon?.bootId === bootId) : (known?.made ?? nothingMade);
  const daemon = ours ? { pid, bootId } : known?.daemon;
  return {
    networks: known?.networks ?? [],
    nodes: known?.nodes ?? [],
    vms: known?.vms ?? [],
    packages: [...new Set([...(known?.packages ?? []), ...installed])],
    ...(daemon === undefined ? {} : { daemon }),
    made,
  };
}

type Ending = {
  c: VerbContext;
  ok: boolean;
  isUp: boolean;
  interrupted: boolean;
  failed: string[];
  seconds: number;
  nodes: ReadonlyMap<string, GuestView>;
};

function closing({ ok, isUp, interrupted, failed, seconds, nodes }: Ending): string {
  const undo = `undo everything: ${invocation(["quickstart", "--down"])}`;
  if (interrupted) return `\nInterrupted. What was made stays; ${undo}\n`;
  if (!ok) {
    const rest = isUp ? "" : "; the rest was not tried";
    return `\n${failed.join(", ")} did not hold${rest}. Look for the cause: ${invocation(["doctor"])}\n${undo}\n`;
  }
  const web = nodes.get("web");
  const db = nodes.get("db");
  const page = web === undefined ? "" : `, and web answers on http://127.0.0.1:${publishOf(web).hostPort}/`;
  return [
    "",
    `Everything holds (${seconds.toFixed(1)} s). The example runs${page}. Next:`,
    `  ${invocation(["node", "ls"])}`,
    ...(db === undefined ? [] : [`  ${invocation(["node", "exec", "web", "wget", "-qO-", urlOf(db)])}`]),
    `  ${invocation(["network", "why", "db", "cache:6379"])}`,
    `  ${invocation(["vm", "console", "box"])}`,
    undo.replace(/^u/, "U"),
    "",
  ].join("\n");
}
