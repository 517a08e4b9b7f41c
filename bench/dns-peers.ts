import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { GuestRecord } from "../src/services/dns/zone.ts";
import { addressQuery } from "./dns-changes.ts";

/** A name server of someone else, started on loopback with our names. */
export type Peer = {
  name: string;
  port: number;
  suffix: string;
  start(directory: string, records: readonly GuestRecord[]): ChildProcess;
  /** Written by a server that goes on in a child of its own. */
  pidFile?: string;
};

export const dnsmasq: Peer = {
  name: "dnsmasq",
  port: 5302,
  suffix: "lan.nexus",
  start(directory, records) {
    const hosts = join(directory, "hosts");
    writeFileSync(hosts, records.map((r) => `${r.addresses[0]} ${r.guest}.lan.nexus ${r.guest}\n`).join(""));
    const options = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=5302", "--listen-address=127.0.0.1", "--bind-interfaces"];
    const quiet = ["--no-resolv", "--no-hosts", "--user=root", "--pid-file=", "--log-facility=-", `--addn-hosts=${hosts}`];
    return spawn("dnsmasq", [...options, ...quiet], { stdio: "ignore" });
  },
};

/** aardvark-dns answers only clients it knows as containers of the network, so loopback is one of them. */
export const aardvark: Peer = {
  name: "aardvark-dns",
  port: 5303,
  suffix: "dns.podman",
  pidFile: "aardvark/aardvark.pid",
  start(directory, records) {
    const config = join(directory, "aardvark");
    mkdirSync(config);
    const lines = ["127.0.0.1", `${"f".repeat(64)} 127.0.0.1  client`];
    records.forEach((r, i) => lines.push(`${i.toString(16).padStart(64, "0")} ${r.addresses[0]}  ${r.guest}`));
    writeFileSync(join(config, "lan"), `${lines.join("\n")}\n`);
    return spawn(aardvarkPath(), ["--config", config, "--port", "5303", "run"], { stdio: "ignore" });
  },
};

/** Resolves when the server on that port answers at all. @throws Error after five seconds */
export async function answering(port: number, name: string): Promise<void> {
  const socket = createSocket("udp4");
  const bytes = addressQuery(name);
  const send = () => socket.send(bytes, port, "127.0.0.1");
  const again = setInterval(send, 20);
  send();
  try {
    await once(socket, "message", { signal: AbortSignal.timeout(5000) });
  } finally {
    clearInterval(again);
    socket.close();
  }
}

function aardvarkPath(): string {
  return ["/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns"].find((path) => existsSync(path)) ?? "aardvark-dns";
}
