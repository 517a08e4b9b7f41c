import { z } from "zod";
import { config } from "./config.ts";
import { networkSpec } from "./network.ts";
import { nodeSpec } from "./node.ts";

/** JSON Schema (draft 2020-12) of what users write: for editors, OpenAPI and `nexus schema`. */
export function jsonSchemas(): Record<"network" | "node" | "config", Record<string, unknown>> {
  return { network: jsonSchema(networkSpec), node: jsonSchema(nodeSpec), config: jsonSchema(config) };
}

/** The schema of the input side: text where a branded value comes out, and defaults not required. */
export function jsonSchema(schema: z.ZodType): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: "input" });
}
