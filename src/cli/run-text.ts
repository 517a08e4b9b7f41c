import { facts, table } from "./tables.ts";
import type { RunView } from "../spec/run-view.ts";

/** What whoever waited for a run would not see by itself, each in a line. */
export function remarksOn(view: RunView): string[] {
  const { id, output, egress, limitedBy, spec } = view;
  const dropped = (["stdout", "stderr"] as const).filter((stream) => output[stream].dropped > 0);
  return [
    ...(endings[view.state]?.(view) ?? []),
    ...dropped.map(
      (stream) =>
        `${stream} came to ${bytesText(output[stream].bytes)}, more than the limit of ${bytesText(spec.outputLimit)}: its first ${bytesText(spec.outputLimit)} were shown, and \`nexus run logs ${id}\` has its beginning and its end`,
    ),
    ...(view.message === undefined || view.state === "refused" ? [] : [view.message]),
    ...(egress === undefined || egress.denied === 0
      ? []
      : [
          `${egress.denied} ${egress.denied === 1 ? "connection was" : "connections were"} refused: \`nexus run logs ${id} --audit\` says which and why`,
        ]),
    ...(limitedBy === "rlimits" ? [`${rlimitsAlone}: no cgroup is delegated to this user (\`nexus doctor\` says what to do)`] : []),
  ];
}

const rlimitsAlone = "--mem and --pids held for each process by itself, --cpus not at all";

const endings: Partial<Record<RunView["state"], (view: RunView) => string[]>> = {
  "timed-out": ({ spec }) => [`timed out after ${timeText(spec.timeoutMs)} and was ended (--timeout gives it longer)`],
  failed: ({ reason, spec }) =>
    reason === "out-of-memory"
      ? [`killed: it needed more than its ${spec.mem} MiB of memory (--mem gives it more)`]
      : reason === "facility-full"
        ? ["ended: its facility is full"]
        : [],
  cancelled: ({ reason }) => (reason === "daemon-stopped" ? ["cancelled: nexusd ends"] : []),
  lost: () => ["its sandbox failed, and what became of it is not known"],
};

export function runTable(runs: readonly RunView[]): string {
  const rows = runs.map((run) => [
    run.id,
    run.state,
    run.code === undefined ? "" : String(run.code),
    run.spec.profile,
    run.createdAt.slice(0, 19).replace("T", " "),
    run.tookMs === undefined ? "" : timeText(run.tookMs),
    oneLine(run.spec.command, 60),
  ]);
  return table(["ID", "STATE", "CODE", "PROFILE", "CREATED", "TOOK", "COMMAND"], rows);
}

export function runFacts(run: RunView): string {
  const { spec, output, egress } = run;
  const net = spec.net.allow.length > 0 ? spec.net.allow.join(", ") : (spec.net.mode ?? (spec.profile === "host" ? "the host's" : "none"));
  const written = ({ bytes, dropped }: RunView["output"]["stdout"]) =>
    `${bytesText(bytes)}${dropped > 0 ? `, of which ${bytesText(dropped)} in the middle were not kept` : ""}`;
  return facts([
    ["id", run.id],
    ["state", `${run.state}${run.reason === undefined || run.reason === "ok" ? "" : ` (${run.reason})`}`],
    ["message", run.message],
    ["code", run.code === undefined ? undefined : String(run.code)],
    ["command", oneLine(spec.command, 1000)],
    ["profile", `${spec.profile}${run.driver === undefined ? "" : `, by ${run.driver}`}`],
    ["root", run.root],
    ["facility", spec.facility],
    ["directory", spec.cwd],
    ["network", net],
    ["connections", egress === undefined ? undefined : connections(egress)],
    ["variables", spec.env.join(" ")],
    ["limits", `${spec.mem} MiB, ${spec.cpus} cpus, ${spec.pids} processes, disk ${bytesText(spec.disk)}, ${timeText(spec.timeoutMs)}`],
    ["held", run.limitedBy === "rlimits" ? `${rlimitsAlone}: no cgroup is delegated to user ${run.uid}` : undefined],
    ["stdout", written(output.stdout)],
    ["stderr", written(output.stderr)],
    ["user", String(run.uid)],
    ["created", run.createdAt],
    ["took", run.tookMs === undefined ? undefined : timeText(run.tookMs)],
  ]);
}

function connections({ allowed, denied, unwritten = 0 }: NonNullable<RunView["egress"]>): string {
  return `${allowed} allowed, ${denied} refused${unwritten === 0 ? "" : `; ${unwritten} of them not written down: the audit was full`}`;
}

/** Words as a shell would need them, cut to a width, without what would move a cursor. */
function oneLine(words: readonly string[], width: number): string {
  const text = words
    .map((word) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word)))
    .join(" ")
    // oxlint-disable-next-line no-control-regex -- control characters are what this removes
    .replaceAll(/[\x00-\x1f\x7f-\x9f]/g, "?");
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

export function bytesText(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  const step = bytes < 1024 ? 0 : Math.min(3, Math.floor(Math.log2(bytes) / 10));
  return step === 0 ? `${bytes} bytes` : `${Number((bytes / 1024 ** step).toFixed(1))} ${units[step]}`;
}

function timeText(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))}s`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = Math.round((ms % 60_000) / 1000);
  return `${minutes}m${seconds === 0 ? "" : `${seconds}s`}`;
}
