import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { z } from "zod";
import type { Client } from "../../src/api/client.ts";
import { operationOf, type OperationId } from "../../src/api/operations.ts";
import { NexusError } from "../../src/base/errors.ts";
import { commands } from "../../src/cli/commands.ts";
import { tools } from "../../src/mcp/tools.ts";

/** Notes which operations are asked for, and answers none. */
function noting(asked: OperationId[]): Client {
  const refuse = async (id: OperationId) => {
    asked.push(id);
    throw new NexusError("unsupported", "noted");
  };
  return {
    call: refuse,
    bytes: refuse,
    follow: refuse,
    events: refuse,
    exec: refuse,
    run: () => refuse("run.exec"),
    close() {},
  } as unknown as Client;
}

const some: Record<string, unknown> = {
  guest: "web",
  facility: "work",
  path: "/x",
  content: "x",
  command: "true",
  from: "web",
  to: "db:80",
};

describe("tools", () => {
  it("ask the daemon once each, and for nothing that is root's: over HTTP they run with the daemon's own rights", async () => {
    for (const tool of tools) {
      const asked: OperationId[] = [];
      const keys = Object.keys(tool.input.shape).filter((key) => key in some);
      const given = Object.fromEntries(keys.map((key) => [key, some[key]]));
      await assert.rejects(tool.call(noting(asked), given, new AbortController().signal), /noted/, tool.name);
      assert.equal(asked.length, 1, `${tool.name} asked for ${asked.join(", ")}`);
      for (const id of asked) {
        assert.equal(operationOf(id).who, undefined, `${tool.name} asks for ${id}`);
        if (tool.annotations.readOnlyHint) assert.equal(operationOf(id).method, "GET", `${tool.name} asks for ${id}`);
      }
    }
  });

  it("are the commands below `nexus mcp`, with a flag for every argument", () => {
    const below = commands.filter(({ path }) => path.startsWith("mcp ") && path !== "mcp serve");
    assert.deepEqual(
      below.map(({ path }) => path.slice(4)),
      tools.map(({ name }) => name),
    );
    for (const tool of tools) {
      const flags = below.find(({ path }) => path === `mcp ${tool.name}`)?.flags?.map(({ name }) => name) ?? [];
      const wanted = Object.keys(tool.input.shape).flatMap((key) =>
        key === "guest" ? ["guest", "vm", "node"] : [key.replaceAll("_", "-")],
      );
      assert.deepEqual(flags.toSorted(), wanted.toSorted(), tool.name);
    }
  });

  it("have schemas any client can read, that refuse keys they do not know", () => {
    for (const tool of tools) {
      const schema = z.toJSONSchema(tool.input, { io: "input" });
      assert.equal(schema.type, "object");
      assert.equal(schema.additionalProperties, false);
      for (const [key, property] of Object.entries(schema.properties ?? {}))
        assert.ok(
          typeof property === "object" && (property.description !== undefined || property.enum !== undefined),
          `${tool.name}: ${key} is not explained`,
        );
    }
  });
});
