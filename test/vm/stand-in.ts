import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { sh } from "../chaos/host.ts";

/** In this mount namespace, QEMU is stand-in.py for guests it knows how to play. */
export async function useStandIn(): Promise<void> {
  const program = "/usr/bin/qemu-system-x86_64";
  writeFileSync("/run/real-qemu", "");
  await sh("mount", "--bind", program, "/run/real-qemu");
  await sh("mount", "--bind", fileURLToPath(new URL("stand-in.py", import.meta.url)), program);
}
