import type { IncomingMessage } from "node:http";
import { z } from "zod";
import { routeOf } from "./routes.ts";
import type { OperationId } from "./operations.ts";
import { NexusError, SpecError, type SpecProblem } from "../base/errors.ts";
import { check } from "../spec/problems.ts";

/** The most a JSON body may have. */
export const bodyLimit = 1024 * 1024;

export type ParsedInput = { params: unknown; query: unknown; body: unknown };

/** Reads and checks the parts of one operation's requests. Made once per operation. */
export type RequestReader = (request: { params: Record<string, string>; search: string; body: unknown }) => ParsedInput;

/** @throws SpecError with every fault of path, query and body at once */
export function makeReader(id: OperationId): RequestReader {
  const route = routeOf(id);
  const kinds = route.query === undefined ? new Map<string, QueryKind>() : queryKinds(route.query);
  return ({ params, search, body }) => {
    const problems: SpecProblem[] = [];
    const query = readQuery(search, kinds, problems);
    const out: ParsedInput = {
      params: part(route.params, params, "path", problems),
      query: part(route.query, query, "query", problems),
      body: part(route.body, body, "", problems),
    };
    if (route.body === undefined && body !== undefined) problems.push({ path: "", problem: "this request takes no body" });
    if (problems.length > 0) throw new SpecError(problems);
    return out;
  };
}

/** The JSON of a request's body, or undefined when it has none. @throws NexusError too-large, usage; SpecError when it is not JSON */
export async function readBody(request: IncomingMessage, limit = bodyLimit): Promise<unknown> {
  const declared = request.headers["content-length"];
  if (declared === undefined && request.headers["transfer-encoding"] === undefined) return undefined;
  if (declared !== undefined && Number(declared) > limit) throw tooLarge(limit);
  const chunks: Buffer[] = [];
  let size = 0;
  // Destroying the request would cut the connection before the refusal is read; Node discards what is left of it instead.
  const arriving: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
  for await (const chunk of arriving) {
    size += chunk.length;
    if (size > limit) throw tooLarge(limit);
    chunks.push(chunk);
  }
  if (size === 0) return undefined;
  const type = request.headers["content-type"] ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new NexusError("usage", `the body must be application/json, not ${type === "" ? "untyped" : type}`, {
      hint: "send Content-Type: application/json",
    });
  }
  return parseJson(Buffer.concat(chunks));
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown;
  } catch (error) {
    throw new SpecError([{ path: "", problem: `the body is not JSON: ${error instanceof Error ? error.message : String(error)}` }]);
  }
}

function tooLarge(limit: number): NexusError {
  return new NexusError("too-large", `the body has more than ${limit} bytes`);
}

type QueryKind = "boolean" | "number" | "string";

/** What each query key holds, taken from the schema, so that handlers see booleans and numbers and OpenAPI says so. */
function queryKinds(schema: z.ZodObject): Map<string, QueryKind> {
  const kinds = new Map<string, QueryKind>();
  const { properties = {} } = z.toJSONSchema(schema, { io: "input" });
  for (const [key, property] of Object.entries(properties)) {
    const type = typeof property === "object" ? property.type : undefined;
    kinds.set(key, type === "boolean" ? "boolean" : type === "integer" || type === "number" ? "number" : "string");
  }
  return kinds;
}

function readQuery(search: string, kinds: Map<string, QueryKind>, problems: SpecProblem[]): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  if (search === "") return out;
  for (const [key, text] of new URLSearchParams(search)) {
    const kind = kinds.get(key);
    if (kind === undefined) problems.push({ path: `query.${key}`, problem: "unknown key" });
    else if (key in out) problems.push({ path: `query.${key}`, problem: "is given twice" });
    else out[key] = queryValue(kind, text);
  }
  return out;
}

/** Text that does not fit stays text, so the schema words the fault. */
function queryValue(kind: QueryKind, text: string): unknown {
  if (kind === "boolean") return text === "true" || text === "1" || text === "" ? true : text === "false" || text === "0" ? false : text;
  if (kind === "number") return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  return text;
}

function part(schema: z.ZodType | undefined, value: unknown, prefix: string, problems: SpecProblem[]): unknown {
  if (schema === undefined) return prefix === "" ? undefined : {};
  if (value === undefined) {
    problems.push({ path: prefix, problem: "this request needs a JSON body" });
    return undefined;
  }
  const checked = check(schema, value);
  if ("value" in checked) return checked.value;
  for (const { path, problem, hint } of checked.problems) {
    const whole = prefix === "" ? path : `${prefix}.${path}`;
    problems.push({ path: whole, problem, ...(hint === undefined ? {} : { hint }) });
  }
  return undefined;
}
