import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { sh } from "../chaos/host.ts";

/** In this mount namespace, QEMU is stand-in.py for guests it knows how to play. */
export async function useStandIn(): Promise<void> {
  await exchange("/usr/bin/qemu-system-x86_64", { by: "stand-in.py", keep: "/run/real-qemu" });
  await exchange("/usr/bin/setpriv", { by: "stand-in-setpriv.sh", keep: "/run/real-setpriv" });
}

async function exchange(program: string, { by, keep }: { by: string; keep: string }): Promise<void> {
  writeFileSync(keep, "");
  await sh("mount", "--bind", program, keep);
  await sh("mount", "--bind", fileURLToPath(new URL(by, import.meta.url)), program);
}
