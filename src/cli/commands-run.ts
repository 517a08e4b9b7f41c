import type { Command, Flag, Positional } from "./command.ts";

const profiles = ["untrusted", "trusted", "host", "darwin-automation"] as const;
const id: Positional = { name: "ID", complete: "run" };

export const runFlags: readonly Flag[] = [
  { name: "profile", value: "PROFILE", complete: profiles, summary: "untrusted, trusted, host or darwin-automation (untrusted)" },
  {
    name: "driver",
    value: "DRIVER",
    complete: ["bubblewrap", "qemu", "oci", "podman"],
    summary: "bubblewrap or qemu (untrusted), oci or podman (trusted); the first by default",
  },
  {
    name: "rootfs",
    value: "host|auto|PATH|URL#sha256:DIGITS",
    complete: "file",
    summary: "root file system, untrusted: a directory, an archive (the setting sandbox.rootfs)",
  },
  { name: "image", value: "REF|DIR|mini", complete: "image", summary: "root file system, trusted (mini: busybox, built in)" },
  { name: "allow", value: "HOST:PORT", many: true, summary: "let it connect there, by name; *.HOST:PORT is all below" },
  {
    name: "net",
    value: "MODE",
    complete: ["none", "allowlist", "unrestricted", "host"],
    summary: "none, allowlist, unrestricted or, not for untrusted, host (allowlist with --allow, else none)",
  },
  { name: "facility", value: "NAME|DIR", complete: "facility", summary: "what it works on: a facility, or a directory of yours" },
  { name: "cwd", short: "w", value: "PATH", summary: "where in the facility it begins" },
  { name: "env", short: "e", value: "K=V", many: true, summary: "environment variable; none is inherited" },
  { name: "timeout", value: "TIME", summary: "how long it may take (5m)" },
  { name: "grace", value: "TIME", summary: "time to end by itself after that, before it is killed (3s)" },
  { name: "mem", short: "m", value: "MIB", summary: "memory (512)" },
  { name: "cpus", value: "N", summary: "processors' worth of time (1)" },
  { name: "pids", value: "N", summary: "processes and threads (256)" },
  { name: "disk", value: "SIZE", summary: "what it may write outside its facility (1G)" },
  { name: "output-limit", value: "SIZE", summary: "of each output; beyond it the middle is dropped (2M)" },
  { name: "tty", short: "t", summary: "give it a terminal" },
];

export const runCommands: readonly Command[] = [
  {
    path: "run",
    summary: "run one command in a sandbox; its exit code is this command's",
    example: "nexus run --allow example.com:443 -- curl https://example.com/",
    rest: { name: "CMD", from: "dashes" },
    flags: [...runFlags, { name: "detach", short: "d", summary: "print its id and leave; `nexus run logs ID` has what it writes" }],
    run: async (c) => (await import("./verbs/run.ts")).run(c),
  },
  {
    path: "run ls",
    summary: "list runs, the newest first",
    example: "nexus run ls --limit 20",
    flags: [{ name: "limit", value: "N", summary: "at most so many (100)" }],
    run: async (c) => (await import("./verbs/runs.ts")).list(c),
  },
  {
    path: "run inspect",
    summary: "describe a run: how it ended and why",
    example: "nexus run inspect 3f9a",
    args: [id],
    flags: [{ name: "audit", summary: "with every connection it tried" }],
    run: async (c) => (await import("./verbs/runs.ts")).inspect(c),
  },
  {
    path: "run logs",
    summary: "print what a run wrote, or the connections it tried",
    example: "nexus run logs 3f9a",
    args: [id],
    flags: [
      { name: "follow", short: "f", summary: "go on as more is written" },
      { name: "stream", value: "STREAM", complete: ["stdout", "stderr"], summary: "stdout or stderr alone" },
      { name: "audit", summary: "the connections it tried, one JSON object per line" },
    ],
    run: async (c) => (await import("./verbs/runs.ts")).logs(c),
  },
  {
    path: "run cancel",
    summary: "end runs",
    example: "nexus run cancel 3f9a",
    args: [id],
    rest: { name: "ID", from: "names" },
    run: async (c) => (await import("./verbs/runs.ts")).cancel(c),
  },
  {
    path: "run rm",
    summary: "forget runs that have ended, and what they wrote",
    example: "nexus run rm 3f9a",
    args: [id],
    rest: { name: "ID", from: "names" },
    run: async (c) => (await import("./verbs/runs.ts")).remove(c),
  },
  {
    path: "run prune",
    summary: "forget all runs that have ended (a week and the last 1000 are kept without it)",
    example: "nexus run prune --older 1d",
    flags: [{ name: "older", value: "TIME", summary: "only those that ended so long ago" }],
    run: async (c) => (await import("./verbs/runs.ts")).prune(c),
  },
];
