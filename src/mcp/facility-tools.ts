import { z } from "zod";
import { isText } from "./bytes.ts";
import { contentArguments, octal, partAnswer, partArguments, writtenBody } from "./file-part.ts";
import { tool, type Tool } from "./tool.ts";
import { facilityPath } from "../spec/facility-path.ts";
import { nameText } from "../spec/text.ts";

const facilityArgument = nameText.describe("name of the facility: a directory that sandboxed commands work in");

const facilityRead = tool({
  name: "facility_read",
  title: "Read a file in a facility",
  description:
    "Reads a plain file in a facility, or a part of it. Text comes as text, anything else as a base64 resource. When the file goes on beyond what came, a second text says so, with the offset to go on from.",
  effect: "reads",
  input: z.strictObject({ facility: facilityArgument, path: facilityPath, ...partArguments }),
  async run(client, { facility, path, offset, limit }, signal) {
    const answer = await client.bytes("facility.read", { params: { name: facility }, query: { path, offset, limit } }, { signal });
    return await partAnswer(answer, { offset, uri: `nexus-facility://${facility}${encodeURI(path)}`, data: { facility, path } });
  },
});

const facilityWrite = tool({
  name: "facility_write",
  title: "Write a file in a facility",
  description:
    "Writes a plain file in a facility: replaces it whole in one step, keeping its owner, or makes it with the directories above it; or adds to its end. Give content for text or content_base64 for bytes, at most 1 MiB in one call. Refused while a command works there.",
  effect: "destroys",
  input: z.strictObject({ facility: facilityArgument, path: facilityPath, ...contentArguments }),
  async run(client, { facility, path, ...content }, signal) {
    const asked = { params: { name: facility }, body: { path, ...writtenBody(content) } };
    const file = await client.call("facility.write", asked, { signal });
    return { kind: "data", data: { facility, path, size: file.sizeBytes, mode: octal(file.mode) } };
  },
});

const facilityDiff = tool({
  name: "facility_diff",
  title: "Say what changed in a facility",
  description:
    "How the files of a facility differ from when it was made, or from when its last run began: the files with the lines added and removed, and a patch for git apply, which ends with the last whole file when it would be too long. Files git was never told of are in it.",
  effect: "reads",
  input: z.strictObject({
    facility: facilityArgument,
    since: z.enum(["create", "run"]).default("create").describe("what to compare with"),
    limit: z
      .number()
      .int()
      .min(0)
      .max(1024 * 1024)
      .default(64 * 1024)
      .describe("bytes of the patch at most; 0 for the list of files alone"),
  }),
  async run(client, { facility, since, limit }, signal) {
    const diff = await client.call("facility.diff", { params: { name: facility }, query: { since, limit } }, { signal });
    const patch = Buffer.from(diff.patch, "base64");
    return {
      kind: "data",
      data: {
        facility,
        since,
        files: diff.files.map(({ path, added, removed }) => ({ path, ...(added === undefined ? { binary: true } : { added, removed }) })),
        ...(isText(patch) ? { patch: patch.toString("utf8") } : { patch_base64: diff.patch }),
        truncated: diff.truncated,
        left_out: diff.leftOut,
        left_out_count: diff.leftOutCount,
      },
    };
  },
});

export const facilityTools: readonly Tool[] = [facilityRead, facilityWrite, facilityDiff];
