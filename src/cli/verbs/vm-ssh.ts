import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { constants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { VerbContext } from "../context.ts";
import { findProgram } from "../quickstart/programs.ts";
import { ownSshKeyPath, ownStateDirectory } from "../ssh/own-keys.ts";
import { sshArguments, type SshTarget, sshTargetOf } from "../ssh-command.ts";
import { NexusError } from "../../base/errors.ts";
import { parseDuration } from "../../spec/flags.ts";
import type { GuestView } from "../../spec/views.ts";

/** The host's own ssh with this terminal, once the guest's SSH server answers; gives ssh's exit code. */
export async function ssh(c: VerbContext): Promise<number> {
  const { flags, io } = c;
  const program = findProgram("ssh", io.env["PATH"] ?? "");
  if (program === undefined)
    throw new NexusError("runtime-missing", "there is no ssh program here", { hint: "Debian: apt install openssh-client" });
  const patienceMs = parseDuration("--wait", flags.text("wait") ?? "10s");
  const guest = await machineNamed(c);
  const target = sshTargetOf(guest);
  const stateDir = ownStateDirectory(io);
  const ownKey = ownSshKeyPath(io, guest.spec?.labels ?? {});
  const user = flags.text("user") ?? guest.sshUser ?? "root";
  const choice = { user, identity: flags.text("identity"), ownKey, command: c.rest, stateDir };
  const words = sshArguments(guest, target, choice);
  await answered(target, { name: guest.name, patienceMs, note: c.out.note });
  return await run(c, program, words);
}

/** As for other verbs without a noun, `nexus ssh` means the project's guests first. */
async function machineNamed(c: VerbContext): Promise<GuestView> {
  const client = await c.client();
  const word = c.arg("NAME");
  const name = c.command.path === "ssh" ? (await (await import("../compose/targets.ts")).guestNamed(c, client, word)).name : word;
  return await client.call("vm.get", { params: { name } });
}

/** User mode takes every connection and drops those the guest refuses, so only what an SSH server says first counts (RFC 4253 section 4.2). */
async function answered(target: SshTarget, o: { name: string; patienceMs: number; note: (line: string) => void }): Promise<void> {
  const end = performance.now() + o.patienceMs;
  let told = false;
  for (;;) {
    const problem = await greeting(target, Math.max(100, Math.min(5000, end - performance.now())));
    if (problem === undefined) return;
    if (performance.now() + retryMs > end)
      throw new NexusError("timeout", `no SSH server answers for vm ${o.name} on ${target.host} port ${target.port}: ${problem}`, {
        hint: `give it longer with --wait 60s; an image without one (mini) has \`nexus vm console ${o.name}\` and \`nexus vm exec ${o.name} CMD\``,
      });
    if (!told) o.note(`waiting for the SSH server of ${o.name}`);
    told = true;
    await delay(retryMs);
  }
}

const retryMs = 200;

/** Undefined when an SSH server greets, be it after other lines, else what happened instead. */
async function greeting({ host, port }: SshTarget, limitMs: number): Promise<string | undefined> {
  const socket = connect({ host, port });
  const late = setTimeout(() => socket.destroy(new Error("no word from there")), limitMs);
  let said = "";
  try {
    for await (const piece of socket as AsyncIterable<Buffer>) {
      said = (said + piece.toString("latin1")).slice(0, longestGreeting);
      if (/^SSH-/m.test(said)) return undefined;
      if (said.length === longestGreeting) break;
    }
    return said === "" ? "the connection is closed at once" : "another program answers there";
  } catch (error) {
    if (said !== "") return "another program answers there";
    return error instanceof Error && "code" in error ? String(error.code) : error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(late);
    socket.destroy();
  }
}

const longestGreeting = 8192;

/** The terminal's Ctrl-C reaches ssh by itself; what is sent to this process alone is passed on. */
async function run(c: VerbContext, program: string, words: readonly string[]): Promise<number> {
  const child = spawn(program, words, { stdio: "inherit", env: c.io.env });
  using cleanups = new DisposableStack();
  const ignore = () => undefined;
  process.on("SIGINT", ignore);
  cleanups.defer(() => process.off("SIGINT", ignore));
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    const pass = () => child.kill(signal);
    process.on(signal, pass);
    cleanups.defer(() => process.off(signal, pass));
  }
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
