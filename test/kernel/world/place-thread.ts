import { createSocket, type RemoteInfo } from "node:dgram";
import { closeSync, constants, openSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { type Fd } from "../../../src/sys/fd.ts";
import { checked, libc } from "../../../src/sys/libc.ts";
import { bindSocket, family, openSocket, sendDatagram, socketType } from "../../../src/sys/socket.ts";
import type { Asked, Heard, Outcome, PlaceData, Probe } from "./place.ts";

// A thread may live in a namespace of its own: every socket Node opens on it belongs there.
const { label, netns } = workerData as PlaceData;
if (netns !== undefined) {
  const fd = openSync(netns, constants.O_RDONLY);
  checked(`enter ${netns}`, libc().setns(fd, 0x40000000));
  closeSync(fd);
}

const sniffers = new Map<string, Fd>();
const held = new Map<string, Socket>();

parentPort?.on("message", (asked: Asked) => {
  void answer(asked).then(
    (value) => parentPort?.postMessage({ id: asked.id, value }),
    (error: Error) => parentPort?.postMessage({ id: asked.id, error: error.stack ?? error.message }),
  );
});

async function answer(asked: Asked): Promise<unknown> {
  switch (asked.kind) {
    case "listen":
      await Promise.all([
        ...asked.tcp.map(listenTcp),
        ...asked.udp.map(listenUdp),
        ...asked.echo.map(listenEcho),
        ...asked.talk.map(listenTalking),
      ]);
      return undefined;
    case "hold":
      held.set(asked.as, await opened(asked.address, asked.port));
      return undefined;
    case "cut":
      return await cut(asked.as, asked.patienceMs);
    case "say":
      return await say(asked.as, asked.patienceMs);
    case "probe":
      return await (asked.probe.protocol === "tcp" ? probeTcp(asked.probe) : probeUdp(asked.probe));
    case "send": {
      using socket = packetSocket(asked.link);
      for (const frame of asked.frames) sendDatagram(socket, frame, `send a frame on ${asked.link}`);
      return undefined;
    }
    case "sniff":
      sniffers.set(asked.link, packetSocket(asked.link));
      return undefined;
    case "sniffed":
      return framesOf(sniffers.get(asked.link));
  }
}

/** Says who answers and whom it saw, and ends. */
function listenTcp(port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(
      JSON.stringify({ by: label, port, seen: plain(socket.remoteAddress ?? ""), seenPort: socket.remotePort } satisfies Partial<Heard>),
    );
  });
  return new Promise((resolve, reject) => server.once("error", reject).listen({ host: "::", port }, resolve));
}

/** Says back what it hears. */
function listenEcho(port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  return new Promise((resolve, reject) => server.once("error", reject).listen({ host: "::", port }, resolve));
}

/** Never stops talking. */
function listenTalking(port: number): Promise<void> {
  const server = createServer((socket) => {
    const talking = setInterval(() => socket.write("."), 10);
    socket.on("error", () => {});
    socket.on("close", () => clearInterval(talking));
    socket.resume();
  });
  return new Promise((resolve, reject) => server.once("error", reject).listen({ host: "::", port }, resolve));
}

function opened(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port }, () => resolve(socket));
    socket.on("error", reject);
  });
}

/** Writes now and then, as programs with keep-alives do. */
function cut(as: string, patienceMs: number): Promise<"cut" | "goes on"> {
  const socket = held.get(as);
  if (socket === undefined || socket.destroyed) return Promise.resolve("cut");
  return new Promise((resolve) => {
    const writing = setInterval(() => socket.write("x"), 50);
    const done = (what: "cut" | "goes on") => {
      clearInterval(writing);
      clearTimeout(patience);
      resolve(what);
    };
    const patience = setTimeout(() => done("goes on"), patienceMs);
    socket.once("close", () => done("cut"));
  });
}

function say(as: string, patienceMs: number): Promise<"heard" | "cut" | "silent"> {
  const socket = held.get(as);
  if (socket === undefined || socket.destroyed) return Promise.resolve("cut");
  return new Promise((resolve) => {
    const done = (what: "heard" | "cut" | "silent") => {
      clearTimeout(patience);
      resolve(what);
    };
    const patience = setTimeout(() => done("silent"), patienceMs);
    socket.once("data", () => done("heard"));
    socket.once("close", () => done("cut"));
    socket.write("x");
  });
}

function listenUdp(port: number): Promise<void> {
  const socket = createSocket({ type: "udp6" });
  socket.on("message", (_message, from: RemoteInfo) => {
    socket.send(
      JSON.stringify({ by: label, port, seen: plain(from.address), seenPort: from.port } satisfies Partial<Heard>),
      from.port,
      from.address,
    );
  });
  return new Promise((resolve, reject) => socket.once("error", reject).bind({ address: "::", port }, resolve));
}

function probeTcp(probe: Probe): Promise<Outcome> {
  const begin = performance.now();
  return new Promise((resolve) => {
    let said = "";
    const socket: Socket = connect({
      host: probe.address,
      port: probe.port,
      ...(probe.localPort === undefined ? {} : { localPort: probe.localPort }),
    });
    const patience = setTimeout(() => done({ kind: "silent" }), probe.patienceMs);
    const done = (outcome: Outcome) => {
      clearTimeout(patience);
      socket.destroy();
      resolve(outcome);
    };
    socket.on("error", (error: NodeJS.ErrnoException) =>
      done({ kind: "refused", code: error.code ?? error.message, ms: performance.now() - begin }),
    );
    socket.on("data", (chunk) => (said += String(chunk)));
    socket.on("end", () => done({ kind: "answer", ...(JSON.parse(said) as Heard) }));
  });
}

/** Connected, so that the kernel tells what ICMP says. */
function probeUdp(probe: Probe): Promise<Outcome> {
  const begin = performance.now();
  return new Promise((resolve) => {
    const socket = createSocket(probe.address.includes(":") ? "udp6" : "udp4");
    const patience = setTimeout(() => done({ kind: "silent" }), probe.patienceMs);
    const done = (outcome: Outcome) => {
      clearTimeout(patience);
      socket.close();
      resolve(outcome);
    };
    socket.on("error", (error: NodeJS.ErrnoException) =>
      done({ kind: "refused", code: error.code ?? error.message, ms: performance.now() - begin }),
    );
    socket.on("message", (message) =>
      done(probe.payload === undefined ? { kind: "answer", ...(JSON.parse(String(message)) as Heard) } : { kind: "bytes", bytes: message }),
    );
    socket.bind({ port: probe.localPort ?? 0 }, () =>
      socket.connect(probe.port, probe.address, (error?: Error) => {
        if (error === undefined || error === null) socket.send(probe.payload ?? "who are you?");
        else done({ kind: "refused", code: (error as NodeJS.ErrnoException).code ?? error.message, ms: 0 });
      }),
    );
  });
}

/** Every frame of one link, as it is on the wire (packet(7)). */
function packetSocket(link: string): Fd {
  const everything = 0x0003;
  const index = checked(`find ${link}`, indexOf(link));
  const socket = openSocket(family.packet, socketType.raw, { protocol: everything << 8, nonBlocking: true });
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, family.packet, true);
  address.setUint16(2, everything);
  address.setInt32(4, index, true);
  bindSocket(socket, new Uint8Array(address.buffer), `bind to ${link}`);
  return socket;
}

/** SIOCGIFINDEX (netdevice(7)). */
function indexOf(link: string): number {
  using socket = openSocket(family.inet, socketType.datagram);
  const request = new DataView(new ArrayBuffer(40));
  new Uint8Array(request.buffer).set(Buffer.from(link));
  checked(`find ${link}`, libc().ioctl(socket.number, 0x8933, new Uint8Array(request.buffer)));
  return request.getInt32(16, true);
}

function framesOf(socket: Fd | undefined): Uint8Array[] {
  const frames: Uint8Array[] = [];
  if (socket === undefined) return frames;
  const buffer = new Uint8Array(65536);
  for (;;) {
    const length = Number(libc().recvfrom(socket.number, buffer, buffer.length, 0x40, null, null));
    if (length < 0) return frames;
    frames.push(buffer.slice(0, length));
  }
}

function plain(address: string): string {
  return address.replace(/^::ffff:/, "");
}
