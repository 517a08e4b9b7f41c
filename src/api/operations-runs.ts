import { always, known, type Operation } from "./operation.ts";

/** Commands in sandboxes. */
export const runOperations = {
  "run.exec": {
    method: "POST",
    path: "/v1/runs/exec",
    summary: "Runs one command in a sandbox over an upgraded connection (Upgrade: nexus-exec); it is cancelled when the caller hangs up",
    when: "the profile works on this host; its facility is free",
    answers: "upgrade",
  },
  "run.create": {
    method: "POST",
    path: "/v1/runs",
    summary: "Starts one command in a sandbox, for nobody to watch",
    when: "the profile works on this host; its facility is free",
    answers: "json",
  },
  "run.list": { method: "GET", path: "/v1/runs", summary: "Lists runs, the newest first", when: always, answers: "json" },
  "run.get": {
    method: "GET",
    path: "/v1/runs/{id}",
    summary: "Describes one run; with wait, when it has ended or the time is up",
    when: known,
    answers: "json",
  },
  "run.cancel": {
    method: "POST",
    path: "/v1/runs/{id}/cancel",
    summary: "Ends a run; answers when nothing of it is alive",
    when: known,
    answers: "json",
  },
  "run.logs": {
    method: "GET",
    path: "/v1/runs/{id}/logs",
    summary: "What was kept of an output of a run, or the judgements of its connections, as bytes",
    when: known,
    answers: "bytes",
  },
  "run.remove": {
    method: "DELETE",
    path: "/v1/runs/{id}",
    summary: "Forgets a run and what it wrote",
    when: "it has ended",
    answers: "json",
  },
  "run.prune": {
    method: "POST",
    path: "/v1/runs/prune",
    summary: "Forgets runs that ended so many seconds ago or earlier",
    when: always,
    answers: "json",
  },
} as const satisfies Record<string, Operation>;
