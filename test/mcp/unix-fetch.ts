import { request } from "node:http";
import { Readable } from "node:stream";

/** fetch() over a unix socket, for the official client. */
export function unixFetch(socketPath: string): typeof fetch {
  return async (input, init) => {
    const asked = new Request(input, init);
    const body = asked.body === null ? undefined : Buffer.from(await asked.arrayBuffer());
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const call = request({
      socketPath,
      method: asked.method,
      path: asked.url.slice(new URL(asked.url).origin.length),
      headers: { ...Object.fromEntries(asked.headers), ...(body === undefined ? {} : { "content-length": body.length }) },
      signal: asked.signal,
      agent: false,
    });
    call.on("error", reject);
    call.on("response", (response) => {
      const status = response.statusCode ?? 500;
      const stream = [204, 205, 304].includes(status) ? null : (Readable.toWeb(response) as ReadableStream<Uint8Array>);
      resolve(
        new Response(stream, {
          status,
          headers: Object.entries(response.headers).map(([name, value]) => [name, String(value)] as [string, string]),
        }),
      );
    });
    call.end(body);
    return await promise;
  };
}
