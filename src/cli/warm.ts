import { loadDaemon } from "./verbs/daemon.ts";

/** Loads what the daemon loads, and ends: run with the daemon's flags, it leaves compiled code where the daemon finds it. */
process.argv.splice(2, process.argv.length, "--help");
await import("./main.ts");
await loadDaemon();
