import { spawn } from "node:child_process";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

type Command = { execute: string; arguments: Record<string, unknown> };
type Answers = (command: Command) => unknown;

/** A qemu-ga for tests, on a socket: does on this machine what it is told, unless `instead` gives an answer. */
export async function fakeAgent(
  directory: string,
  instead: Answers = () => undefined,
): Promise<AsyncDisposable & { asked: Command[]; open: Set<number> }> {
  const asked: Command[] = [];
  const open = new Set<number>();
  const runs = new Map<number, Record<string, unknown>>();
  const sockets = new Set<Socket>();
  const doIt = (command: Command): unknown => {
    const { execute, arguments: given } = command;
    const handle = Number(given["handle"]);
    switch (execute) {
      case "guest-sync-delimited":
        return given["id"];
      case "guest-exec":
        return { pid: run(given, runs) };
      case "guest-exec-status":
        return runs.get(Number(given["pid"]));
      case "guest-file-open": {
        const flags = given["mode"] === "a" ? "a" : String(given["mode"]);
        const fd = openSync(String(given["path"]), flags);
        open.add(fd);
        return fd;
      }
      case "guest-file-seek":
        positions.set(handle, Number(given["offset"]));
        return { position: given["offset"], eof: false };
      case "guest-file-read": {
        const buffer = Buffer.alloc(Number(given["count"]));
        const at = positions.get(handle) ?? 0;
        const count = readSync(handle, buffer, 0, buffer.length, at);
        positions.set(handle, at + count);
        return { count, "buf-b64": buffer.subarray(0, count).toString("base64"), eof: count < buffer.length };
      }
      case "guest-file-write": {
        const bytes = Buffer.from(String(given["buf-b64"]), "base64");
        return { count: writeSync(handle, bytes), eof: false };
      }
      case "guest-file-flush":
        return {};
      case "guest-file-close":
        // A number given away again would be another's.
        if (!open.has(handle)) throw new Error("handle not found");
        closeSync(handle);
        positions.delete(handle);
        open.delete(handle);
        return {};
      default:
        throw new Error(`no ${execute}`);
    }
  };
  const positions = new Map<number, number>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    createInterface({ input: socket }).on("line", (line) => {
      const command = JSON.parse(line.replace(/^[^{]*/, "")) as Command;
      asked.push(command);
      let answer: object;
      try {
        answer = { return: instead(command) ?? doIt(command) };
      } catch (error) {
        answer = {
          error: {
            class: "GenericError",
            desc: error instanceof Error ? error.message.replace(/^ENOENT.*/, "No such file or directory") : "",
          },
        };
      }
      socket.write(`${JSON.stringify(answer)}\n`);
    });
  });
  server.listen(join(directory, "agent"));
  await once(server, "listening");
  return {
    asked,
    open,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function run(given: Record<string, unknown>, runs: Map<number, Record<string, unknown>>): number {
  const child = spawn(String(given["path"]), given["arg"] as string[], { stdio: ["ignore", "pipe", "pipe"] });
  const pid = child.pid ?? 0;
  const output: Record<"out" | "err", Buffer[]> = { out: [], err: [] };
  child.stdout.on("data", (bytes: Buffer) => output.out.push(bytes));
  child.stderr.on("data", (bytes: Buffer) => output.err.push(bytes));
  runs.set(pid, { exited: false });
  child.on("close", (code, signal) => {
    const said = { "out-data": Buffer.concat(output.out).toString("base64"), "err-data": Buffer.concat(output.err).toString("base64") };
    runs.set(pid, { exited: true, ...(signal === null ? { exitcode: code } : { signal: 9 }), ...said });
  });
  return pid;
}
