/** node:http without `import`, which would read every export: one of them loads a WebSocket client, for 25 ms and 16 MiB. */
export function nodeHttp() {
  return process.getBuiltinModule("node:http");
}
