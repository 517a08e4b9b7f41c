import { runCommandLine } from "./run.ts";

// The launcher's choice for this process alone.
delete process.env["NODE_COMPILE_CACHE"];

for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // The reader went away, as in `nexus node ls | head -1`: nothing is wrong and nobody is left to tell.
    if (error.code === "EPIPE") process.exit(0);
    if (stream === process.stdout) process.stderr.write(`nexus: the output cannot be written: ${error.message}\n`);
    process.exit(1);
  });
}
const { stdin, stdout, stderr, env } = process;
process.exitCode = await runCommandLine(process.argv.slice(2), { stdin, stdout, stderr, env, uid: process.getuid?.() ?? 0 });
