import { z } from "zod";
import { nameText } from "../text.ts";
import { nodeEntry, vmEntry, writtenOtherwise } from "./guest-schema.ts";
import { groupOf, type GuestKind, keyAliases } from "./guest-tree.ts";
import { networkEntry, volumeDefinition } from "./network-schema.ts";
import { sandboxEntry } from "./sandbox-schema.ts";

/** nexus-compose.yaml as a whole, for editors. Files are checked part by part, so that every part's faults are told. */
const composeFile = z.strictObject({
  name: nameText.optional(),
  vms: z.record(z.string(), vmEntry.extend({ extends: z.unknown().optional() })).optional(),
  nodes: z.record(z.string(), nodeEntry.extend({ extends: z.unknown().optional() })).optional(),
  sandboxes: z.record(z.string(), sandboxEntry.extend({ extends: z.unknown().optional() })).optional(),
  networks: z.record(z.string(), networkEntry.nullable()).optional(),
  volumes: z.record(z.string(), volumeDefinition.nullable()).optional(),
});

/** The outermost mapping, with its parts unread. */
export const frame = z.strictObject({
  name: z.string().optional(),
  vms: z.record(z.string(), z.unknown()).optional(),
  nodes: z.record(z.string(), z.unknown()).optional(),
  sandboxes: z.record(z.string(), z.unknown()).optional(),
  networks: z.record(z.string(), z.unknown()).optional(),
  volumes: z.record(z.string(), z.unknown()).optional(),
});

/** JSON Schema (draft 2020-12) of a compose file. Keys that begin with x- may stand anywhere. */
export function composeJsonSchema(): Record<string, unknown> {
  const otherwise = writtenOtherwise();
  const schema = z.toJSONSchema(composeFile, {
    io: "input",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      const other = otherwise.get(zodSchema);
      if (other !== undefined) {
        const first = { ...jsonSchema };
        for (const key of Object.keys(jsonSchema)) delete jsonSchema[key as keyof typeof jsonSchema];
        jsonSchema.anyOf = [first, other];
      }
      if (jsonSchema.additionalProperties === false) jsonSchema.patternProperties = { "^x-": {} };
    },
  }) as Record<string, unknown>;
  for (const [kind, key] of Object.entries(groupOf) as [GuestKind, string][]) {
    const guest = propertiesOf(propertiesOf(schema)[key]?.["additionalProperties"]);
    for (const [alias, name] of Object.entries(keyAliases(kind))) guest[alias] = { ...guest[name] };
  }
  return schema;
}

function propertiesOf(schema: unknown): Record<string, Record<string, unknown>> {
  return (schema as { properties: Record<string, Record<string, unknown>> }).properties;
}
