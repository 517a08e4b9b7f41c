import { nodeHttp } from "../../base/node-http.ts";

/** The body of what a URL answers, or undefined when nothing comes back in time. */
export function fetchText(url: string, timeoutMs = 2000): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const request = nodeHttp().get(url, { agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (text: string) => (body += text));
    response.on("end", () => resolve(response.statusCode === 200 ? body.trim() : undefined));
    response.on("error", () => resolve(undefined));
  });
  request.on("error", () => resolve(undefined));
  return promise;
}
