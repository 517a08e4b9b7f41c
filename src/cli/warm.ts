import "./run.ts";
import { loadDaemon } from "./verbs/daemon.ts";

/** Loads what the daemon loads, and ends: run with the daemon's flags, it leaves compiled code where the daemon finds it. */
await loadDaemon();
