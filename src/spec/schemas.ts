import { z } from "zod";
import { composeJsonSchema } from "./compose/file-schema.ts";
import { config } from "./config.ts";
import { networkSpec } from "./network.ts";
import { nodeSpec } from "./node.ts";
import { vmSpec } from "./vm.ts";

/** JSON Schema (draft 2020-12) of what users write: for editors, OpenAPI and `nexus schema`. */
export function jsonSchemas(): Record<"network" | "node" | "vm" | "config" | "compose", Record<string, unknown>> {
  return {
    network: jsonSchema(networkSpec),
    node: jsonSchema(nodeSpec),
    vm: jsonSchema(vmSpec),
    config: jsonSchema(config),
    compose: composeJsonSchema(),
  };
}

/** The schema of the input side: text where a branded value comes out, and defaults not required. */
export function jsonSchema(schema: z.ZodType): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: "input" });
}
