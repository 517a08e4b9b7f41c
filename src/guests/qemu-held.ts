import { NexusError } from "../base/errors.ts";
import { listOf } from "./qga.ts";
import type { JsonObject } from "./qmp-lines.ts";
import type { Qmp } from "./qmp.ts";

/**
 * QEMU starts with its processors held (-S). They run once its disks, now open and locked, are seen to be no more than their own files.
 * Repeatable: who finds a guest still held, because its starter was killed, goes on here. Gives what QEMU says of the processors.
 * @throws NexusError `image-missing`
 */
export async function letRun(qmp: Qmp, limit?: { timeoutMs: number }): Promise<string> {
  const status = async (): Promise<string> => String(((await qmp.execute("query-status", {}, limit)) as JsonObject)["status"]);
  const found = await status();
  if (found !== "prelaunch") return found;
  await refuseDataElsewhere(qmp, limit);
  await qmp.execute("cont", {}, limit);
  return await status();
}

/**
 * No word of ours keeps a qcow2 header from naming a file for its data (qapi/block-core.json, `data-file` cannot be null), so it is
 * asked of QEMU which it opened. @throws NexusError `image-missing`
 */
export async function refuseDataElsewhere(qmp: Qmp, limit?: { timeoutMs: number }): Promise<void> {
  for (const node of listOf(await qmp.execute("query-named-block-nodes", { flat: true }, limit))) {
    const image = node["image"] as { "format-specific"?: { data?: JsonObject } } | undefined;
    const other = image?.["format-specific"]?.data?.["data-file"];
    if (other !== undefined)
      throw new NexusError(
        "image-missing",
        `${String(node["node-name"]).replace("-", " ")} keeps its data in ${String(other)}: a disk must be whole`,
      );
  }
}
