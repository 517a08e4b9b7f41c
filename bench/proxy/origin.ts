import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { originAddress, ports } from "./place.ts";

/** The server behind the proxies: two bytes for each HTTP request, and on the other port whatever it is sent. */
createHttpServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  request.resume();
  response.end("ok");
}).listen({ port: ports.http, host: originAddress, backlog: 4096 });

createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
}).listen({ port: ports.echo, host: originAddress, backlog: 4096 });
