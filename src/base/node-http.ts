import type * as Http from "node:http";

/** node:http without `import`, which would read every export: one of them loads a WebSocket client, for 25 ms and 16 MiB. */
export function nodeHttp(): typeof Http {
  return process.getBuiltinModule("node:http");
}
