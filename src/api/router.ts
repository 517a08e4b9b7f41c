import { type Operation, operationOf, operations, type OperationId } from "./operations.ts";
import { NexusError } from "../base/errors.ts";

/** What a request line leads to. `params` are decoded but not yet checked. */
export type Match =
  | { kind: "found"; id: OperationId; params: Record<string, string> }
  | { kind: "no-method"; allow: string[] }
  | { kind: "no-path" };

type Step = { fixed: Map<string, Step>; param: Step | undefined; ends: Map<string, { id: OperationId; paramNames: string[] }> };

export type Router = { match(method: string, path: string): Match };

/** A tree of path segments made once, so a request costs one map look-up for each segment. A fixed segment wins over a parameter. */
export function makeRouter(): Router {
  const root = emptyStep();
  for (const id of Object.keys(operations) as OperationId[]) insert(root, id, operationOf(id));
  return {
    match(method, path) {
      const values: string[] = [];
      const end = path.startsWith("/") ? walk(root, path.slice(1).split("/"), values) : undefined;
      if (end === undefined || end.ends.size === 0) return { kind: "no-path" };
      const found = end.ends.get(method);
      if (found === undefined) return { kind: "no-method", allow: [...end.ends.keys()].toSorted() };
      return { kind: "found", id: found.id, params: nameValues(found.paramNames, values) };
    },
  };
}

function insert(root: Step, id: OperationId, operation: Operation): void {
  const paramNames: string[] = [];
  let step = root;
  for (const segment of operation.path.slice(1).split("/")) {
    if (segment.startsWith("{")) {
      paramNames.push(segment.slice(1, -1));
      step = step.param ??= emptyStep();
    } else {
      let next = step.fixed.get(segment);
      if (next === undefined) step.fixed.set(segment, (next = emptyStep()));
      step = next;
    }
  }
  step.ends.set(operation.method, { id, paramNames });
}

function walk(root: Step, segments: string[], values: string[]): Step | undefined {
  let step = root;
  for (const segment of segments) {
    const fixed = step.fixed.get(segment);
    if (fixed !== undefined) {
      step = fixed;
      continue;
    }
    if (step.param === undefined || segment === "") return undefined;
    values.push(segment);
    step = step.param;
  }
  return step;
}

function nameValues(names: string[], values: string[]): Record<string, string> {
  const out: Record<string, string> = {};
  names.forEach((name, i) => (out[name] = decode(values[i] ?? "")));
  return out;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new NexusError("usage", `the path segment "${segment}" is not valid percent-encoding`);
  }
}

function emptyStep(): Step {
  return { fixed: new Map(), param: undefined, ends: new Map() };
}
