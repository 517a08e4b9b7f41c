import { z } from "zod";
import type { AnswerShape } from "./answers.ts";
import { type Operation, operationOf, operations, type OperationId } from "./operations.ts";
import { ndjson } from "./respond.ts";
import { type Route, routeOf } from "./routes.ts";
import { errorCatalogue } from "../base/errors.ts";

type Json = Record<string, unknown>;

/** The whole API as an OpenAPI 3.1 document, made from the route table. */
export function openapiDocument(version: string): Json {
  const schemas: Record<string, Json> = { Error: errorSchema() };
  const paths: Record<string, Json> = {};
  for (const id of Object.keys(operations) as OperationId[]) {
    const operation = operationOf(id);
    (paths[operation.path] ??= {})[operation.method.toLowerCase()] = describe(id, operation, schemas);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Nexus",
      version,
      description: "Served on the daemon's unix socket. The caller is known by its user id; there is no other login.",
    },
    servers: [{ url: "http://localhost", description: "over the unix socket" }],
    paths,
    components: { schemas },
  };
}

function describe(id: OperationId, operation: Operation, schemas: Record<string, Json>): Json {
  const route = routeOf(id);
  const parameters = [...parametersOf("path", route.params), ...parametersOf("query", route.query)];
  return {
    operationId: id,
    summary: operation.summary,
    description: `Legal: ${operation.when}.${operation.who === "root" ? " Root only." : ""}`,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined ? {} : { requestBody: bodyOf(route.body, operation) }),
    responses: {
      ...successOf(route, operation, schemas),
      default: {
        description: "An error",
        content: { "application/json": { schema: { type: "object", required: ["error"], properties: { error: ref("Error") } } } },
      },
    },
  };
}

function parametersOf(place: "path" | "query", schema: z.ZodObject | undefined): Json[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: "input" });
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: place === "path" || required.includes(name),
    schema: property,
  }));
}

function bodyOf(schema: z.ZodType, operation: Operation): Json {
  const note = operation.answers === "upgrade" ? { description: "Sent as the first frame of the upgraded connection" } : {};
  return { required: true, ...note, content: { "application/json": { schema: plain(z.toJSONSchema(schema, { io: "input" })) } } };
}

function successOf(route: Route, operation: Operation, schemas: Record<string, Json>): Json {
  const status = String(route.status ?? 200);
  switch (operation.answers) {
    case "json":
      return { [status]: { description: "Done", content: { "application/json": { schema: named(route.answer, schemas) } } } };
    case "progress": {
      const json = { schema: named(route.answer, schemas) };
      const lines = {
        description: `Done. With Accept: ${ndjson}, status 200 and lines {"progress": …}, then {"result": …} or {"error": …}`,
      };
      return { [status]: { ...lines, content: { "application/json": json, [ndjson]: {} } } };
    }
    case "events":
      return { [status]: { description: "One object per line", content: { [ndjson]: { schema: named(route.answer, schemas) } } } };
    case "bytes":
      return { [status]: { description: "As it was written", content: { "application/octet-stream": {} } } };
    case "upgrade":
      return { 101: { description: "The connection carries frames from here on: type u8, length u32 big-endian, payload" } };
  }
}

function named(shape: AnswerShape<unknown>, schemas: Record<string, Json>): Json {
  schemas[shape.name] ??= plain(z.toJSONSchema(shape.schema, { io: "output" }));
  return ref(shape.name);
}

function errorSchema(): Json {
  return {
    type: "object",
    required: ["code", "message"],
    properties: {
      code: { enum: Object.keys(errorCatalogue) },
      message: { type: "string" },
      hint: { type: "string" },
      details: { type: "object" },
    },
  };
}

function ref(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

/** OpenAPI names the dialect once for the document. */
function plain(schema: Json): Json {
  const { $schema: _dialect, ...rest } = schema;
  return rest;
}
