import type { ExecSession, Handlers } from "../api/contract.ts";
import type { Runs, StartedRun } from "./runs.ts";

type RunHandlers = Pick<Handlers, Extract<keyof Handlers, `run.${string}`>>;

export function runOperations(runs: Runs): RunHandlers {
  return {
    "run.exec": async ({ body }, { peer, signal, progress }) =>
      sessionOf(await runs.start(body, { caller: peer, watcher: signal, progress })),
    "run.create": async ({ body }, { peer }) => {
      const { view, life } = await runs.start(body, { caller: peer });
      life.process.stdin.end();
      return view;
    },
    "run.list": async ({ query }) => runs.list(query.limit),
    "run.get": async ({ params, query }, { signal }) => runs.wait(params.id, { ms: query.wait * 1000, signal }),
    "run.cancel": async ({ params }) => runs.cancel(params.id),
    "run.logs": async ({ params, query }, { signal }) => {
      const { output } = runs.get(params.id);
      const bytes = runs.logs(params.id, { ...query, signal });
      return query.stream === "audit"
        ? bytes
        : Object.assign(bytes, { headers: { "nexus-dropped": String(output[query.stream].dropped) } });
    },
    "run.remove": async ({ params }) => ({ removed: [await runs.remove(params.id)] }),
    "run.prune": async ({ query }) => ({
      removed: await runs.records.prune({ olderMs: query.older * 1000, count: Number.MAX_SAFE_INTEGER }),
    }),
  };
}

/** A run as what its watcher has in hand: signals that end programs cancel it, and so does hanging up. */
function sessionOf(run: StartedRun): ExecSession {
  const { life } = run;
  let view = run.view;
  void run.ended.then((last) => (view = last));
  const { stdin } = life.process;
  const { viewer: stdout } = life.stdout;
  if (stdout === undefined) throw new TypeError("a run that nobody watches has no session");
  return {
    stdin,
    stdout,
    stderr: life.stderr.viewer,
    resize: (columns, rows) => life.process.resize(columns, rows),
    kill(signal) {
      switch (signal) {
        case "SIGHUP":
          return run.cancel({ state: "cancelled", reason: "client-gone" }, signal);
        case "SIGINT":
        case "SIGTERM":
        case "SIGQUIT":
          return run.cancel({ state: "cancelled", reason: "asked" }, signal);
        default:
          return life.process.signal(signal);
      }
    },
    exitCode: run.ended.then(({ code }) => code ?? neverRan),
    status: () => view,
  };
}

const neverRan = 125;
