import { connect, type Socket } from "node:net";
import { originAddress, originName, ports } from "./place.ts";

/** How a request goes: to the origin itself, through a proxy by its whole URI, or through a tunnel. */
export type Way = { kind: "direct" } | { kind: "http" | "connect"; proxy: number };

const direct = `GET / HTTP/1.1\r\nHost: ${originName}\r\n\r\n`;
const absolute = `GET http://${originName}:${ports.http}/ HTTP/1.1\r\nHost: ${originName}\r\n\r\n`;

/** One request on a connection of its own; the milliseconds from its beginning to the last byte of the response. */
export async function once(way: Way): Promise<number> {
  const begin = performance.now();
  const socket = await opened(way);
  await asked(socket, way);
  const took = performance.now() - begin;
  socket.destroy();
  return took;
}

/** A connection on which requests can be asked; through a tunnel it stands already. */
export async function opened(way: Way, port: number = ports.http): Promise<Socket> {
  const socket = connect(way.kind === "direct" ? { host: originAddress, port } : { host: "127.0.0.1", port: way.proxy });
  socket.setNoDelay(true);
  // Whoever waits for something hears of errors by himself.
  socket.on("error", () => {});
  if (way.kind !== "connect") {
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return socket;
  }
  socket.write(`CONNECT ${originName}:${port} HTTP/1.1\r\nHost: ${originName}:${port}\r\n\r\n`);
  const answer = await said(socket, (text) => text.includes("\r\n\r\n"));
  if (!/^HTTP\/1\.[01] 200/.test(answer)) throw new Error(`CONNECT: ${answer}`);
  return socket;
}

export async function asked(socket: Socket, way: Way): Promise<void> {
  socket.write(way.kind === "http" ? absolute : direct);
  const answer = await said(socket, (text) => text.endsWith("ok") || text.endsWith("ok\r\n0\r\n\r\n"));
  if (!/^HTTP\/1\.[01] 200/.test(answer)) throw new Error(`${way.kind}: ${answer}`);
}

/** What a socket says until it is enough. @throws Error when it closes before */
export function said(socket: Socket, enough: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const end = (result: () => void) => {
      socket.off("data", onData);
      socket.off("error", onError);
      socket.off("close", onClose);
      result();
    };
    const onData = (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (enough(text)) end(() => resolve(text));
    };
    const onError = (error: Error) => end(() => reject(error));
    const onClose = () => end(() => reject(new Error(`closed after ${JSON.stringify(text.slice(0, 200))}`)));
    socket.on("data", onData);
    socket.on("error", onError);
    socket.on("close", onClose);
  });
}

/** Requests per second of several clients that each wait for their answer. With `keep` a client stays on its connection. */
export async function rate(
  way: Way,
  options: { clients: number; seconds: number; keep: boolean },
): Promise<{ perSecond: number; count: number }> {
  const begin = performance.now();
  const end = begin + options.seconds * 1000;
  let count = 0;
  const client = async () => {
    if (!options.keep) {
      for (; performance.now() < end; count++) await once(way);
      return;
    }
    const socket = await opened(way);
    for (; performance.now() < end; count++) await asked(socket, way);
    socket.destroy();
  };
  await Promise.all(Array.from({ length: options.clients }, client));
  return { perSecond: count / ((performance.now() - begin) / 1000), count };
}
