import { refuseForeign, type VerbContext } from "../context.ts";
import { facts } from "../tables.ts";
import { since } from "../figures.ts";
import type { Answer } from "../../api/contract.ts";
import { errorCatalogue, NexusError } from "../../base/errors.ts";
import type { DaemonOptions } from "../../api/places.ts";
import { defaultPlaces } from "../../spec/places.ts";
import { isFinal } from "../../spec/run-view.ts";

/** nexusd itself: serves until it is told to end. */
export async function foreground(c: VerbContext): Promise<number> {
  const { runDaemon } = await loadDaemon();
  return await runDaemon(optionsOf(c));
}

/** The daemon's code, which no other verb needs. */
export function loadDaemon() {
  return import("../../daemon/main.ts");
}

export async function start(c: VerbContext): Promise<void> {
  const { startDaemon, tryConnecting } = await import("../start-daemon.ts");
  await refuseForeign(c.socketPath, c.io);
  const refusal = await tryConnecting(c.socketPath);
  if (isClosed(refusal)) throw (await import("../../api/client-errors.ts")).unreachableError(refusal, c.socketPath);
  if (refusal === undefined) {
    c.out.result({ running: true, started: false, socket: c.socketPath }, () => `nexusd serves ${c.socketPath} already\n`);
    return;
  }
  const { configFile, stateDir, runDir } = optionsOf(c);
  const args = [
    ...(configFile === undefined ? [] : ["--config", configFile]),
    ...(stateDir === undefined ? [] : ["--state-dir", stateDir]),
    ...(runDir === undefined ? [] : ["--run-dir", runDir]),
  ];
  await startDaemon({ socketPath: c.socketPath, args, stateDir: stateDir ?? defaultPlaces(c.io).stateDir });
  c.out.result({ running: true, started: true, socket: c.socketPath }, () => `nexusd serves ${c.socketPath}\n`);
}

export async function stop(c: VerbContext): Promise<void> {
  const { listensOn } = await import("../start-daemon.ts");
  const { setTimeout: delay } = await import("node:timers/promises");
  const client = await c.runningClient();
  // Whoever cannot tell ends all the same.
  const runs = await client.call("run.list", { query: { limit: 10_000 } }).catch(() => []);
  const cancelled = runs.filter(({ state }) => !isFinal(state)).map(({ id }) => id);
  if (cancelled.length > 0)
    c.out.note(
      `nexus: ${cancelled.length === 1 ? "1 run is" : `${cancelled.length} runs are`} under way and cancelled now: ${cancelled.join(", ")}`,
    );
  await client.call("shutdown");
  const deadline = performance.now() + 30_000;
  while (await listensOn(c.socketPath)) {
    if (performance.now() > deadline) throw new NexusError("timeout", "nexusd agreed to end but still serves its socket after 30 s");
    await delay(20);
  }
  c.out.result({ running: false, cancelled }, () => "nexusd ended; guests keep running\n");
}

/** Ends with 3 when no daemon runs, as every verb that needs one does. */
export async function status(c: VerbContext): Promise<number> {
  try {
    const info = await (await c.runningClient()).call("info", {}, { timeoutMs: 5000 });
    c.out.result({ running: true, ...info }, () => infoText(info));
    return 0;
  } catch (error) {
    if (!(error instanceof NexusError) || error.code !== "daemon-unreachable") throw error;
    c.out.result({ running: false, reason: error.message }, () => `not running: ${error.message}\n`);
    return errorCatalogue["daemon-unreachable"].exit;
  }
}

/** The daemon that answers this caller: whose it is, where it keeps things, what it has. */
export async function info(c: VerbContext): Promise<void> {
  const answer = await (await c.client()).call("info");
  c.out.result(answer, () => infoText(answer));
}

function infoText(info: Answer<"info">): string {
  return facts([
    ["nexusd", `${info.version}, pid ${info.pid}, up ${since(info.startedAt)}`],
    ["whose", whose[info.scope]],
    ["socket", info.socket],
    ["state", info.stateDir],
    ["cache", info.cacheDir],
    ["kernel", info.kernel],
    ["networks", String(info.networks)],
    ["guests", `${info.guests.total}, ${info.guests.running} running`],
    ...info.features.filter((f) => !f.present).map((f) => ["missing", f.note === undefined ? f.name : `${f.name}: ${f.note}`] as const),
  ]);
}

const whose = { host: "this host's", user: "a user's own: virtual machines in user mode" } as const;

/** A daemon may well be behind it, and then another one must not be started. */
function isClosed(refusal: unknown): boolean {
  return refusal instanceof Error && "code" in refusal && (refusal.code === "EACCES" || refusal.code === "EPERM");
}

function optionsOf(c: VerbContext): DaemonOptions {
  const { flags } = c;
  const [configFile, stateDir, runDir, socketPath] = [
    flags.text("config"),
    flags.text("state-dir"),
    flags.text("run-dir"),
    flags.text("socket") ?? c.io.env["NEXUS_SOCKET"],
  ];
  return {
    ...(configFile === undefined ? {} : { configFile }),
    ...(stateDir === undefined ? {} : { stateDir }),
    ...(runDir === undefined ? {} : { runDir }),
    ...(socketPath === undefined || socketPath === "" ? {} : { socketPath }),
    ...(c.command.path === "daemon" ? { doctor: flags.on("doctor"), fix: flags.on("fix") } : { doctor: false }),
    json: flags.on("json"),
  };
}
