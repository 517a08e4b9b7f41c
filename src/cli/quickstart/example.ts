import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import { routes } from "../../api/routes.ts";
import { architecture } from "./claims-vm.ts";
import { NexusError } from "../../base/errors.ts";
import { parseYaml } from "../../spec/yaml.ts";

export type Example = z.output<(typeof routes)["plan.preview"]["body"]>;

const shipped = "examples/quickstart/quickstart.yaml";

/** The example as it is shipped. @throws SpecError with file:line:col when someone changed it for the worse */
export function readExample(file: string = join(import.meta.dirname, "../../..", shipped)): Example {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new NexusError("not-found", `the example cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      hint: `this copy of Nexus lacks ${shipped}`,
      cause: error,
    });
  }
  const whole = parseYaml(routes["plan.preview"].body, text, shipped);
  const example = process.arch === architecture ? whole : { ...whole, vms: [] };
  const names = new Set<string>([...whole.networks, ...whole.nodes, ...whole.vms].map((object) => object.name));
  const lacking = ["front", "back", "web", "db", "cache", "box"].filter((name) => !names.has(name));
  if (lacking.length === 0) return example;
  throw new NexusError("spec-invalid", `${shipped} lacks ${lacking.join(", ")}, which the checks are about`, { hint: "restore the file" });
}
