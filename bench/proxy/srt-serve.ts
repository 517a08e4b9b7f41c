import { join } from "node:path";
import { originName, ports } from "./place.ts";

/** sandbox-runtime's HTTP proxy alone, with an allowlist of the one host, in a process of its own. */
type Server = { listen(port: number, host: string): void };
type Options = { filter(port: number, host: string): boolean };
const [installed = ""] = process.argv.slice(2);
const module = (await import(join(installed, "dist/sandbox/http-proxy.js"))) as { createHttpProxyServer(options: Options): Server };
module.createHttpProxyServer({ filter: (_port, host) => host === originName }).listen(ports.srt, "127.0.0.1");
