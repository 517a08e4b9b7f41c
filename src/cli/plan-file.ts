import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import type { z } from "zod";
import type { Io } from "./context.ts";
import { imageFor, vmImageFor } from "./image-flag.ts";
import { routes } from "../api/routes.ts";
import { NexusError } from "../base/errors.ts";
import { parseYaml } from "../spec/yaml.ts";

export type PlanFile = z.output<(typeof routes)["plan.preview"]["body"]>;

/** Networks and nodes as a YAML (or JSON) file describes them; `-` is standard input. @throws SpecError with every fault's file:line:col */
export async function readPlanFile(file: string, io: Io): Promise<PlanFile> {
  const wanted = parseYaml(routes["plan.preview"].body, file === "-" ? await text(io.stdin) : await read(file), file);
  // A directory is meant from where the file is, as every path in a file.
  const from = { directory: file === "-" ? process.cwd() : dirname(file), home: io.env["HOME"] };
  return {
    ...wanted,
    nodes: wanted.nodes.map((node) => ({ ...node, image: imageFor(node.image, from) })),
    vms: wanted.vms.map((vm) => ({ ...vm, image: vmImageFor(vm.image, from) })),
  };
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") throw new NexusError("not-found", `there is no file ${file}`, { cause: error });
    if (code === "EISDIR") throw new NexusError("usage", `${file} is a directory, not a file`, { cause: error });
    throw error;
  }
}
