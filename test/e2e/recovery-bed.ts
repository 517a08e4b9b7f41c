import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { ErrorBody } from "../../src/base/errors.ts";
import type { GuestView } from "../../src/spec/views.ts";
import { audit, type Surroundings, surroundingsOf } from "../chaos/audit.ts";
import * as host from "../chaos/host.ts";
import { Nexusd } from "../chaos/nexusd.ts";
import { until } from "../kernel/world/until.ts";

const program = fileURLToPath(new URL("../../nexus", import.meta.url));

export type Said = { code: number | null; out: string; err: string };

/** A daemon, the command line that speaks to it, and an eye on the host. */
export class Bed implements AsyncDisposable {
  readonly daemon: Nexusd;
  readonly #around: Surroundings;

  static async make(options: { stateDir?: string } = {}): Promise<Bed> {
    await host.sh("ip", "link", "set", "lo", "up");
    const around = await surroundings();
    return new Bed(await Nexusd.started(options), around);
  }

  private constructor(daemon: Nexusd, around: Surroundings) {
    this.daemon = daemon;
    this.#around = around;
  }

  get client(): Nexusd["client"] {
    return this.daemon.client;
  }

  /** `nexus ARGS`, as typed. */
  async nexus(...args: string[]): Promise<Said> {
    return await runNexus(args, { NEXUS_SOCKET: this.daemon.places.socket });
  }

  /** The same with --json: the error it must give. */
  async refusal(...args: string[]): Promise<{ exit: number | null; error: ErrorBody }> {
    const end = args.indexOf("--");
    const words = end === -1 ? [...args, "--json"] : [...args.slice(0, end), "--json", ...args.slice(end)];
    const { code, out, err } = await this.nexus(...words);
    assert.notEqual(code, 0, `nexus ${args.join(" ")} went through: ${out}`);
    return {
      exit: code,
      error: (JSON.parse(out === "" ? `{"error":{"message":${JSON.stringify(err)}}}` : out) as { error: ErrorBody }).error,
    };
  }

  node(name: string): Promise<GuestView> {
    return this.client.call("node.get", { params: { name: name } });
  }

  async nodeIs(name: string, wanted: (node: GuestView) => boolean, deadlineMs?: number): Promise<GuestView> {
    let last: GuestView | undefined;
    await until(`node ${name} is as wanted`, async () => wanted((last = await this.node(name))), deadlineMs).catch((error: Error) => {
      throw new Error(`${error.message}; it is ${JSON.stringify(last)}`);
    });
    return last as GuestView;
  }

  /** Everything on the host is exactly as the daemon says; given some time, because the kernel takes links away in its own. */
  async allIsWell(): Promise<void> {
    let faults: string[] = [];
    const look = async () => {
      const [networks, guests] = await Promise.all([this.client.call("network.list"), this.client.call("guest.list")]);
      faults = await audit(this.daemon, { networks, guests }, this.#around);
      return faults.length === 0;
    };
    await until("all is well", look, 10_000).catch((error: Error) => {
      throw new Error(`${error.message}\n${faults.join("\n")}\n${this.daemon.log()}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
  }
}

export async function surroundings(): Promise<Surroundings> {
  return surroundingsOf(await host.linksOf(), await host.routesOf(), await host.ruleset());
}

/** `netns` is a name below /run/netns, to run it there. */
export async function runNexus(args: readonly string[], env: Record<string, string> = {}, netns?: string): Promise<Said> {
  const command = netns === undefined ? program : "nsenter";
  const words = netns === undefined ? args : [`--net=/run/netns/${netns}`, program, ...args];
  const child = spawn(command, words, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env }, timeout: 60_000 });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { code: child.exitCode, out, err };
}
