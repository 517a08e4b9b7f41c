import { type ChildProcess, spawn } from "node:child_process";
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Ipv4 } from "../../src/base/ipv4.ts";
import type { Ipv6 } from "../../src/base/ipv6.ts";
import type { Mac } from "../../src/base/mac.ts";
import { isFault, type Name, parseName } from "../../src/base/names.ts";
import type { DhcpNetwork } from "../../src/services/dhcp/network.ts";
import type { RaNetwork } from "../../src/services/ra/network.ts";
import { ip, mac, name, prefix, run } from "./iproute.ts";

/** A bridge with a gateway as Nexus makes them, and clients in namespaces of their own on it. */
export const lan = nameOf("lan");
export const bridgeMac = mac("02:00:00:00:00:01");

export const network4: DhcpNetwork = {
  network: lan,
  bridge: name("nexus0"),
  subnets: [{ prefix: prefix("10.77.0.0/24"), gateway: ip4("10.77.0.1") }],
  domain: "lan.demo.nexus",
  mtuBytes: 1400,
  leaseSeconds: 3600,
};

export const network6: RaNetwork = {
  network: lan,
  bridge: name("nexus0"),
  subnets: [{ prefix: prefix("fd00:77::/64"), gateway: ip6("fd00:77::1") }],
  addressing: "stateful",
  domain: "lan.demo.nexus",
  mtuBytes: 1400,
  leaseSeconds: 3600,
};

export function makeBridge(bridge = "nexus0", address = "10.77.0.1/24"): void {
  run(`ip link add ${bridge} address ${bridgeMac} type bridge`);
  for (const [key, value] of [
    ["disable_ipv6", 0],
    ["accept_ra", 0],
    ["accept_dad", 0],
    ["forwarding", 1],
  ])
    writeFileSync(`/proc/sys/net/ipv6/conf/${bridge}/${key}`, `${value}`);
  run(`ip addr add ${address} dev ${bridge}`);
  if (bridge === "nexus0") run(`ip addr add fd00:77::1/64 dev ${bridge} nodad`);
  run(`ip link set ${bridge} up`);
}

/** A namespace with eth0 on the bridge. `settings` are those of net/ipv6/conf/eth0 to be set before the link is up. */
export function plug(client: string, at: { mac: Mac; bridge?: string; settings?: Record<string, number> }): Disposable {
  run(`ip netns add ${client}`);
  run(`ip link add v-${client} type veth peer name eth0 address ${at.mac} netns ${client}`);
  run(`ip link set v-${client} master ${at.bridge ?? "nexus0"} up`);
  for (const [key, value] of Object.entries({ accept_dad: 0, ...at.settings }))
    run(`ip netns exec ${client} busybox sysctl -q -w net.ipv6.conf.eth0.${key}=${value}`);
  run(`ip -n ${client} link set lo up`);
  run(`ip -n ${client} link set eth0 up`);
  return {
    [Symbol.dispose]() {
      // The namespace alone would take the link with it some time later.
      run(`ip link del v-${client}`);
      run(`ip netns del ${client}`);
    },
  };
}

/** A place for scripts and leases of DHCP clients, gone at the end. */
export class Workshop implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "nexus-dhcp-"));

  /** A script of the client that writes its environment to a file named after `what`, one for each event. */
  script(what: string, more = ""): string {
    const path = this.file(
      `script-${what}`,
      `#!/bin/sh\nenv > ${this.path}/now.$$ && mv ${this.path}/now.$$ ${this.path}/${what}.\${1:-$reason}\n${more}\nexit 0\n`,
    );
    chmodSync(path, 0o755);
    return path;
  }

  file(as: string, text: string): string {
    const path = join(this.path, as);
    writeFileSync(path, text);
    return path;
  }

  /** The environment of the first of these events that happens; it is forgotten then. */
  async event(...names: string[]): Promise<Record<string, string>> {
    let path: string | undefined;
    await until(`${names.join(" or ")} happens`, () => {
      path = names.map((of) => join(this.path, of)).find((file) => existsSync(file));
      return path !== undefined;
    });
    const text = readFileSync(path ?? "", "utf8");
    rmSync(path ?? "");
    return Object.fromEntries(text.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A program within a client's namespace, killed at the end of the block; its words are shown when it fails. */
export class Program implements AsyncDisposable {
  readonly child: ChildProcess;
  words = "";
  readonly #ended: Promise<number | null>;

  constructor(client: string, command: readonly string[], env: Record<string, string> = {}) {
    this.child = spawn("ip", ["netns", "exec", client, ...command], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"] ?? "", ...env },
    });
    for (const stream of [this.child.stdout, this.child.stderr]) stream?.on("data", (chunk: Buffer) => (this.words += chunk.toString()));
    this.#ended = new Promise((resolve) => this.child.once("close", resolve));
  }

  /** The exit code. */
  ended(): Promise<number | null> {
    return this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.#ended;
  }
}

export async function until(what: string, done: () => boolean, deadlineMs = 15_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!done()) {
    assert.ok(performance.now() < end, `${what} within ${deadlineMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function ip4(text: string): Ipv4 {
  return ip(text) as Ipv4;
}

export function ip6(text: string): Ipv6 {
  return ip(text) as Ipv6;
}

function nameOf(text: string): Name {
  const parsed = parseName(text);
  assert.ok(!isFault(parsed));
  return parsed;
}
