import { runDoctor } from "../../src/host/doctor/run.ts";
import type { DoctorContext } from "../../src/host/doctor/report.ts";

/** A program for the doctor's tests: runs it with the context given as JSON and prints the report. Started with the rights a test wants it to have. */

const given = JSON.parse(process.argv[2] ?? "{}") as Partial<DoctorContext> & { fix?: boolean };
const { fix, ...context } = given;
const report = await runDoctor(
  {
    stateDirectory: "/nonexistent",
    socketPath: "/run/none.sock",
    networks: [],
    probeRuntimes: async () => [{ name: "runc", works: true }],
    ...context,
  },
  { fix: fix === true },
);
console.log(JSON.stringify(report));
