import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { runCommandLine } from "../../src/cli/run.ts";

export type Ran = { code: number; stdout: string; stderr: string };

/** Runs one command line in this process, as a user without rights, against a daemon's socket. */
export async function nexus(socketPath: string, words: readonly string[], input = "", env: Record<string, string> = {}): Promise<Ran> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const [out, err] = [text(stdout), text(stderr)];
  const code = await runCommandLine(words, {
    stdin: Readable.from(input === "" ? [] : [Buffer.from(input)]),
    stdout,
    stderr,
    env: { ...env, NEXUS_SOCKET: socketPath },
    uid: 1000,
  });
  stdout.end();
  stderr.end();
  return { code, stdout: await out, stderr: await err };
}
