import { pino } from "pino";
import type { DaemonOptions } from "../api/places.ts";
import { formatDiagnosis } from "../spec/diagnosis.ts";
import { giveBackMemory, notify, warmThreadpool } from "../kernel/service.ts";
import { startDaemon } from "./daemon.ts";
import { examine } from "./examine.ts";
import { logStrayRejections } from "./stray-rejections.ts";
import { readConfig } from "./settings.ts";

/** Starting alone leaves 2 MB behind, and each burst of guests some more. */
const trimIntervalMs = 10_000;

/** nexusd: serves until SIGTERM, SIGINT or a caller ends it; guests and networks stay. Gives the exit code. @throws NexusError when it cannot start */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const surroundings = { uid: process.getuid?.() ?? 0, env: process.env };
  // What a user's daemon makes is nobody else's to read; nor is what its virtual machines' processes make.
  if (surroundings.uid !== 0) process.umask(0o077);
  const source = await readConfig(options.configFile, surroundings);
  const config = {
    ...source.config,
    ...(options.stateDir === undefined ? {} : { state_dir: options.stateDir }),
    ...(options.runDir === undefined ? {} : { run_dir: options.runDir }),
    ...(options.socketPath === undefined ? {} : { socket: options.socketPath }),
  };
  if (options.doctor) {
    const report = await examine(config, surroundings, { fix: options.fix === true });
    process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : formatDiagnosis(report));
    return report.ok ? 0 : 1;
  }
  const log = pino({ level: config.log_level, base: null }, pino.destination({ dest: 2, sync: true }));
  using _strays = logStrayRejections(log);
  const ended = Promise.withResolvers<string>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => ended.resolve(signal));
  // Threads of the pool must be born here, never while this thread visits a guest's namespace.
  await warmThreadpool();
  {
    await using daemon = await startDaemon({
      source: { file: source.file, config },
      surroundings,
      log,
      onShutdown: () => ended.resolve("a request"),
      onLogLevel: (level) => (log.level = level),
    });
    notify({ READY: "1", STATUS: `serving ${daemon.socket}` });
    setInterval(giveBackMemory, trimIntervalMs).unref();
    const why = await ended.promise;
    notify({ STOPPING: "1" });
    const runs = daemon.runsUnderWay();
    const cancels = runs.length === 0 ? "" : `, runs under way are cancelled: ${runs.length}`;
    log.info({ why, ...(runs.length === 0 ? {} : { runs }) }, `nexusd ends; guests and networks stay${cancels}`);
  }
  // Whatever did not come to its end in time must not go on with what is closed by now.
  process.exit(0);
}
