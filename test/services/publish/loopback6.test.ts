import assert from "node:assert/strict";
import { createSocket, type Socket as Datagrams } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, test } from "node:test";
import { type Ip, parseIp } from "../../../src/base/ip.ts";
import { Loopback6Publisher, type LoopbackPublish } from "../../../src/services/publish/loopback6.ts";

describe("ports published on ::1", () => {
  let stack: AsyncDisposableStack;
  let problems: string[];
  beforeEach(() => {
    stack = new AsyncDisposableStack();
    problems = [];
  });
  afterEach(() => stack.disposeAsync());

  const publisher = (options: Partial<ConstructorParameters<typeof Loopback6Publisher>[0]> = {}) =>
    stack.use(
      new Loopback6Publisher({
        onProblem: ({ protocol, port }, problem) => void problems.push(`${protocol} ${port}: ${problem}`),
        ...options,
      }),
    );

  for (const target of ["127.0.0.1", "::1"]) {
    test(`a connection reaches the guest at ${target}, and each direction ends by itself`, async () => {
      const guest = await tcpGuest(stack, target, async (socket) => {
        const said = await text(socket);
        assert.equal(socket.writable, true, "the guest can still answer after the client ended");
        socket.end(`heard ${said.length} bytes`);
      });
      const port = await freePort();
      await publisher().set([publish({ hostPort: port, guestPort: guest, targets: [ip(target)] })]);
      const client = connect({ host: "::1", port, allowHalfOpen: true });
      client.end(Buffer.alloc(3_000_000, "x"));
      assert.equal(await text(client), "heard 3000000 bytes");
    });
  }

  test("the guest's end of a connection is passed on while the client still sends", async () => {
    const heard = Promise.withResolvers<string>();
    const guest = await tcpGuest(stack, "127.0.0.1", (socket) => {
      socket.end("bye");
      void text(socket).then(heard.resolve);
    });
    const port = await freePort();
    await publisher().set([publish({ hostPort: port, guestPort: guest })]);
    const client = connect({ host: "::1", port, allowHalfOpen: true });
    assert.equal(await text(client), "bye");
    client.end("and you");
    assert.equal(await heard.promise, "and you");
  });

  test("a guest that refuses, and a port that is taken back, are a reset for the client", async () => {
    const nobody = await freePort();
    const port = await freePort();
    const carried = publisher();
    await carried.set([publish({ hostPort: port, guestPort: nobody })]);
    assert.equal(await errorOf(connect({ host: "::1", port })), "ECONNRESET");

    const guest = await tcpGuest(stack, "127.0.0.1", (socket) => void socket.write("hello"));
    await carried.set([publish({ hostPort: port, guestPort: guest })]);
    const client = connect({ host: "::1", port });
    await once(client, "data");
    await carried.set([]);
    assert.equal(await errorOf(client), "ECONNRESET");
    assert.equal(await errorOf(connect({ host: "::1", port })), "ECONNREFUSED");
  });

  test("connections stay when other ports come and go", async () => {
    const guest = await tcpGuest(stack, "127.0.0.1", (socket) => void socket.pipe(socket));
    const [port, other] = [await freePort(), await freePort()];
    const carried = publisher();
    await carried.set([publish({ hostPort: port, guestPort: guest })]);
    const client = connect({ host: "::1", port });
    stack.defer(() => void client.destroy());
    client.write("one");
    await once(client, "data");
    await carried.set([publish({ hostPort: port, guestPort: guest }), publish({ hostPort: other, guestPort: guest })]);
    await carried.set([publish({ hostPort: port, guestPort: guest })]);
    client.write("two");
    assert.equal(String((await once(client, "data"))[0]), "two");
  });

  test("ranges keep their width, and other host addresses are left to the ruleset", async () => {
    const guest = await tcpGuest(stack, "127.0.0.1", (socket) => void socket.end("second"));
    const [first, any, v4] = [await freePorts(2), await freePort(), await freePort()];
    await publisher().set([
      publish({ hostPort: first, hostPortEnd: first + 1, guestPort: guest - 1 }),
      publish({ hostPort: any, guestPort: guest, hostAddress: undefined }),
      publish({ hostPort: v4, guestPort: guest, hostAddress: ip("127.0.0.1") }),
    ]);
    assert.equal(await text(connect({ host: "::1", port: first + 1 })), "second");
    assert.equal(await errorOf(connect({ host: "::1", port: any })), "ECONNREFUSED");
    assert.equal(await errorOf(connect({ host: "127.0.0.1", port: v4 })), "ECONNREFUSED");
  });

  test("more connections than allowed are refused, and room comes back", async () => {
    const guest = await tcpGuest(stack, "127.0.0.1", (socket) => void socket.pipe(socket));
    const port = await freePort();
    await publisher({ tcp: { connections: 1, connectMs: 5000 } }).set([publish({ hostPort: port, guestPort: guest })]);
    const first = connect({ host: "::1", port });
    first.write("x");
    await once(first, "data");
    assert.equal(await errorOf(connect({ host: "::1", port })), "ECONNRESET");
    first.end();
    await once(first.resume(), "close");
    assert.equal(await eventually(() => answersOnce(port)), true);
  });

  test("a port that is in use is told once, and had when it is free again", async () => {
    const port = await freePort();
    const other = createServer();
    await listen(other, "::1", port);
    const guest = await tcpGuest(stack, "127.0.0.1", (socket) => void socket.end("at last"));
    const carried = publisher();
    const wanted = [publish({ hostPort: port, guestPort: guest })];
    await carried.set(wanted);
    await carried.set(wanted);
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? "", new RegExp(`^tcp ${port}: .*EADDRINUSE`));
    other.close();
    await once(other, "close");
    await carried.set(wanted);
    assert.equal(await text(connect({ host: "::1", port })), "at last");
  });

  for (const target of ["127.0.0.1", "::1"]) {
    test(`datagrams reach the guest at ${target}, and each client gets its own answers`, async () => {
      const guest = await udpGuest(stack, target);
      const port = await freePort();
      await publisher().set([publish({ protocol: "udp", hostPort: port, guestPort: guest, targets: [ip(target)] })]);
      const clients = await Promise.all([0, 1, 2].map(() => udpSocket(stack, "::1")));
      const answers = await Promise.all(clients.map((client, i) => ask(client, port, `from ${i}`)));
      assert.deepEqual(answers, ["echo from 0", "echo from 1", "echo from 2"]);
    });
  }

  test("a client above the limit takes the place of the one silent longest", async () => {
    const guest = await udpGuest(stack, "127.0.0.1");
    const port = await freePort();
    await publisher({ udp: { clients: 2, idleMs: 60_000 } }).set([publish({ protocol: "udp", hostPort: port, guestPort: guest })]);
    const clients = await Promise.all([0, 1, 2].map(() => udpSocket(stack, "::1")));
    for (const [i, client] of [...clients.entries(), [0, clients[0]] as const])
      assert.equal(client && (await ask(client, port, `${i}`)), `echo ${i}`);
  });

  test("above its limit of ports it says so and carries the others", async () => {
    const guest = await tcpGuest(stack, "127.0.0.1", (socket) => void socket.end("first"));
    const [one, two] = [await freePort(), await freePort()];
    await publisher({ ports: 1 }).set([publish({ hostPort: one, guestPort: guest }), publish({ hostPort: two, guestPort: guest })]);
    assert.equal(await text(connect({ host: "::1", port: one })), "first");
    assert.deepEqual(problems, [`tcp ${two}: 1 ports are published on ::1 already, the most that are carried`]);
  });

  test("whoever waits for a port that is taken back meanwhile is told, not left waiting", { timeout: 10_000 }, async () => {
    const port = await freePort();
    const carried = publisher();
    await Promise.all([
      carried.set([publish({ hostPort: port, guestPort: 1 }), publish({ protocol: "udp", hostPort: port, guestPort: 1 })]),
      carried.set([]),
    ]);
    assert.deepEqual(problems, []);
  });
});

function publish(some: Partial<LoopbackPublish>): LoopbackPublish {
  return { protocol: "tcp", hostAddress: ip("::1"), hostPort: 0, guestPort: 0, targets: [ip("127.0.0.1")], ...some };
}

function ip(address: string): Ip {
  return parseIp(address) ?? assert.fail(address);
}

async function tcpGuest(stack: AsyncDisposableStack, address: string, serve: (socket: Socket) => unknown): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    void serve(socket);
  });
  stack.defer(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return await listen(server, address, 0);
}

async function udpGuest(stack: AsyncDisposableStack, address: string): Promise<number> {
  const socket = await udpSocket(stack, address);
  socket.on("message", (message, from) => socket.send(`echo ${String(message)}`, from.port, from.address));
  return socket.address().port;
}

async function udpSocket(stack: AsyncDisposableStack, address: string): Promise<Datagrams> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  stack.defer(() => void socket.close());
  socket.bind({ address, port: 0 });
  await once(socket, "listening");
  return socket;
}

/** All that comes until the other side ends; unlike the consumers of node:stream it leaves our own side open. */
function text(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
  return new Promise((resolve, reject) => socket.once("error", reject).once("end", () => resolve(String(Buffer.concat(chunks)))));
}

async function ask(client: Datagrams, port: number, question: string): Promise<string> {
  client.send(question, port, "::1");
  const [message] = (await once(client, "message", { signal: AbortSignal.timeout(10_000) })) as [Buffer];
  return String(message);
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  server.listen({ host, port });
  await once(server, "listening");
  return (server.address() as { port: number }).port;
}

async function errorOf(socket: Socket): Promise<string | undefined> {
  socket.resume();
  const [error] = (await once(socket, "error", { signal: AbortSignal.timeout(10_000) }).catch((failure: unknown) => [failure])) as [
    NodeJS.ErrnoException,
  ];
  return error.code;
}

async function answersOnce(port: number): Promise<boolean> {
  const client = connect({ host: "::1", port });
  client.end("x");
  return await text(client).then(
    (said) => said === "x",
    () => false,
  );
}

async function eventually(condition: () => Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + 5000;
  while (performance.now() < deadline) if (await condition()) return true;
  return false;
}

async function freePort(): Promise<number> {
  return await freePorts(1);
}

/** The first of several ports in a row that nobody has at this moment. */
async function freePorts(count: number): Promise<number> {
  for (;;) {
    const servers = [createServer()];
    const first = await listen(servers[0] as Server, "::1", 0);
    try {
      for (let i = 1; i < count; i++) {
        const server = createServer();
        servers.push(server);
        server.listen({ host: "::1", port: first + i });
        await once(server, "listening");
      }
      return first;
    } catch {
      // A neighbour is taken: another place.
    } finally {
      for (const server of servers) server.close();
    }
  }
}
