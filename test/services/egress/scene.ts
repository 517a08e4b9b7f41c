import { once } from "node:events";
import { createServer as createHttpServer, type IncomingHttpHeaders } from "node:http";
import { type AddressInfo, connect, createServer, type Server, Socket } from "node:net";
import type { Ip } from "../../../src/base/ip.ts";
import { parseIp } from "../../../src/base/ip.ts";
import type { AuditRecord } from "../../../src/services/egress/audit.ts";
import { createEgressProxy, type EgressProxy, type EgressProxyOptions } from "../../../src/services/egress/proxy.ts";
import type { EgressPolicy, EgressPolicyInput } from "../../../src/spec/egress.ts";
import { runPolicy } from "../../../src/spec/run-policy.ts";

export type SeenRequest = { method: string; url: string; headers: IncomingHttpHeaders; body: string };

/** Servers on loopback that stand for every address dialled: one speaks HTTP by Node's own parser, one keeps what it gets. */
export class Outside implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  received = Buffer.alloc(0);
  /** What the second one answers a connection with, at once. */
  greeting = "";
  readonly #open = new Set<Socket>();
  readonly #http = createHttpServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      this.requests.push({ method, url, headers, body: Buffer.concat(parts).toString("latin1") });
      response.end("ok");
    });
  });
  readonly #raw = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    if (this.greeting !== "") socket.write(this.greeting);
    socket.on("data", (chunk: Buffer) => (this.received = Buffer.concat([this.received, chunk])));
    socket.on("end", () => socket.end());
  });

  static async open(): Promise<Outside> {
    const outside = new Outside();
    await Promise.all([outside.#http, outside.#raw].map((server) => once(server.listen(0, "127.0.0.1"), "listening")));
    return outside;
  }

  port(kind: "http" | "raw"): number {
    return ((kind === "http" ? this.#http : this.#raw).address() as AddressInfo).port;
  }

  /** Of the second one, open now. */
  get connections(): number {
    return this.#open.size;
  }

  /** Makes the second one stop reading; the result lets it go on. */
  mute(): () => void {
    for (const socket of this.#open) socket.pause();
    return () => {
      for (const socket of this.#open) socket.resume();
    };
  }

  forget(): void {
    this.requests.length = 0;
    this.received = Buffer.alloc(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http.closeAllConnections();
    for (const socket of this.#open) socket.destroy();
    await Promise.all([this.#http, this.#raw].map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

export type SceneOptions = Partial<Omit<EgressProxyOptions, "policy">> & {
  policy: EgressPolicyInput;
  outside?: { port: number };
  answers?: Record<string, string[] | string[][]>;
  refusing?: readonly string[];
};

/** A proxy behind a listener, a resolver that knows some names, and what they were asked. */
export class Scene implements AsyncDisposable {
  readonly proxy: EgressProxy;
  readonly audit: AuditRecord[] = [];
  readonly asked: string[] = [];
  readonly dialled: string[] = [];
  readonly faults: unknown[] = [];
  readonly #listener: Server;
  readonly #refusing: readonly string[];
  readonly #toPort: number;

  constructor({ policy, outside, answers = {}, refusing = [], ...options }: SceneOptions) {
    this.#refusing = refusing;
    this.#toPort = outside?.port ?? 0;
    const say = (_: object, message: string) => void this.faults.push(message);
    this.proxy = createEgressProxy({
      run: "r1",
      policy: policyOf(policy),
      resolver: (name) => Promise.resolve(this.#resolve(name, answers)),
      dial: ({ address, port }) => this.#dial(address, port),
      audit: (record) => this.audit.push(record),
      ownAddresses: new Set<Ip>(),
      log: { debug: say, info: say, warn: say, error: (fields) => void this.faults.push(fields["err"]) },
      ...options,
    });
    this.#listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.proxy.serve(socket));
  }

  static async open(options: SceneOptions): Promise<Scene> {
    const scene = new Scene(options);
    await once(scene.#listener.listen(0, "127.0.0.1"), "listening");
    return scene;
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** A client's connection, half open when it has said all. */
  async connect(): Promise<Socket> {
    const socket = connect({ port: this.port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    socket.on("error", () => {});
    await once(socket, "connect");
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.proxy.close();
    await new Promise((resolve) => this.#listener.close(resolve));
  }

  #resolve(name: string, answers: Record<string, string[] | string[][]>): Ip[] {
    const before = this.asked.filter((other) => other === name).length;
    this.asked.push(name);
    const known = answers[name] ?? [];
    const list = Array.isArray(known[0]) ? ((known as string[][])[before] ?? known.at(-1) ?? []) : known;
    return (list as string[]).map((text) => parseIp(text) as Ip);
  }

  #dial(address: Ip, port: number): Socket {
    this.dialled.push(address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
    if (this.#refusing.includes(address) || this.#toPort === 0) {
      const socket = new Socket();
      process.nextTick(() => socket.destroy(Object.assign(new Error("refused"), { code: "ECONNREFUSED" })));
      return socket;
    }
    return connect({ host: "127.0.0.1", port: this.#toPort, allowHalfOpen: true, noDelay: true });
  }
}

/** As of a run of project `shop`, on a host whose guests are below `nexus`. */
function policyOf({ mode, allow = [] }: EgressPolicyInput): EgressPolicy {
  const checked = runPolicy({ mode, allow }, { domain: "nexus", project: "shop" });
  if ("value" in checked) return checked.value;
  throw new Error(checked.problems.map(({ problem }) => problem).join("; "));
}

/** Everything a socket says until it closes, which it does after the other end has. */
export async function allOf(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  if (socket.readableEnded) socket.end();
  else socket.once("end", () => socket.end());
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(parts);
}
