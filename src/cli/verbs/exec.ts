import { passInput, passSignals, sizeOf, useTerminal, writeOut } from "../call-streams.ts";
import type { VerbContext } from "../context.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";

/** Runs a command in a guest with this terminal or these pipes; gives the command's exit code. */
export async function exec(c: VerbContext): Promise<number> {
  if (c.rest.length === 0)
    throw new NexusError("usage", `nexus ${c.command.path}: the command is missing`, { hint: `for example: ${c.command.example}` });
  const { io } = c;
  const client = await c.client();
  const target = await targetOf(c, client);
  const terminal = !target.isVm && wantsTerminal(c);
  const interactive = terminal || c.flags.on("interactive");
  const { envOf } = await import("../guest-flags.ts");
  const cwd = c.flags.text("workdir");
  const call = await client.exec(target.id, target.name, {
    command: c.rest,
    env: { ...(terminal ? { TERM: io.env["TERM"] ?? "xterm" } : {}), ...envOf(c) },
    ...(cwd === undefined ? {} : { cwd }),
    ...(terminal ? { terminal: sizeOf(io) } : {}),
  });
  using cleanups = new DisposableStack();
  if (terminal) useTerminal(io, call, cleanups);
  else passSignals(call, cleanups);
  if (interactive) cleanups.defer(passInput(io, call));
  else void call.send({ kind: "stdin-end" });
  return await call.finish((stream, bytes) => writeOut(io, stream, bytes));
}

type Target = { id: "node.exec" | "vm.exec" | "guest.exec"; name: string; isVm: boolean };

async function targetOf(c: VerbContext, client: Client): Promise<Target> {
  const name = c.arg("NAME");
  switch (c.command.path) {
    case "node exec":
      return { id: "node.exec", name, isVm: false };
    case "vm exec":
      return { id: "vm.exec", name, isVm: true };
    default: {
      const guest = await (await import("../compose/targets.ts")).guestNamed(c, client, name);
      return { id: "guest.exec", name: guest.name, isVm: guest.kind === "vm" };
    }
  }
}

/** A terminal by default when both ends of this command are one. */
function wantsTerminal(c: VerbContext): boolean {
  const { stdin, stdout } = c.io;
  if (c.flags.on("no-tty")) return false;
  if (c.flags.on("tty") && stdin.isTTY !== true)
    throw new NexusError("usage", `nexus ${c.command.path}: -t needs a terminal as input`, {
      hint: "leave -t out, or use -i to pass input on",
    });
  return c.flags.on("tty") || (stdin.isTTY === true && stdout.isTTY === true);
}
