/** Loads what the daemon loads, and ends: run with the same flags, it leaves compiled code where the daemon finds it. */
await Promise.all([import("../cli/run.ts"), import("../cli/verbs/daemon.ts"), import("./main.ts")]);
