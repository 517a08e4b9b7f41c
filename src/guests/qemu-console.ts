import { NexusError } from "../base/errors.ts";
import { socketNames } from "./qemu-layout.ts";
import type { ConsoleSession } from "./qemu-plan.ts";
import { listOf } from "./qga.ts";
import { connectIn } from "./qmp-connect.ts";
import type { Qmp } from "./qmp.ts";

/** Joins the guest's serial port. QEMU has room for one there. @throws NexusError `in-use` when somebody is at it, `timeout` */
export async function openConsole(qmp: Qmp, directory: string): Promise<ConsoleSession> {
  const port = listOf(await qmp.execute("query-chardev")).find((one) => one["label"] === "console");
  // QEMU writes "disconnected:" before the address while nobody is there (chardev/char-socket.c).
  if (!String(port?.["filename"]).startsWith("disconnected:")) throw new NexusError("in-use", "somebody else is at this guest's console");
  const socket = await connectIn(directory, socketNames.console, { signal: AbortSignal.timeout(5000) });
  return { input: socket, output: socket, [Symbol.dispose]: () => void socket.destroy() };
}
