import { createInterface } from "node:readline";
import { nodeHttp } from "../../base/node-http.ts";
import { fetchText } from "./fetch.ts";

/**
 * The program in the outside namespace. It answers every request with the address it came from, and fetches what it is told
 * to: `{"get": URL, "timeoutMs": N}` on stdin, `{"body": TEXT}` or `{}` on stdout. It ends with its stdin, so with whoever started it.
 */
const [address = "", port = ""] = process.argv.slice(2);

const server = nodeHttp().createServer((request, response) => response.end(`${request.socket.remoteAddress ?? ""}\n`));
server.listen(Number(port), address, () => process.stdout.write(`${JSON.stringify({ ready: true })}\n`));

for await (const line of createInterface({ input: process.stdin })) {
  const { get, timeoutMs } = JSON.parse(line) as { get: string; timeoutMs: number };
  process.stdout.write(`${JSON.stringify({ body: await fetchText(get, timeoutMs) })}\n`);
}
server.close();
server.closeAllConnections();
