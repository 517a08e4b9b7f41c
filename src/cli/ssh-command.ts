import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import type { GuestView } from "../spec/views.ts";

export type SshTarget = { host: string; port: number };

/** Where the guest's SSH is met from this host: user mode forwards a port of 127.0.0.1, on a network it has an address. @throws NexusError wrong-state */
export function sshTargetOf(guest: GuestView): SshTarget {
  if (guest.state !== "running")
    throw new NexusError("wrong-state", `vm ${guest.name} is ${guest.state}`, { hint: `start it: nexus vm start ${guest.name}` });
  if (guest.sshPort !== undefined) return { host: "127.0.0.1", port: guest.sshPort };
  const addresses = guest.attachments.flatMap((a) => a.addresses.map((cidr) => cidr.split("/")[0] ?? cidr));
  const host = addresses.find((address) => !address.includes(":")) ?? addresses[0];
  if (host === undefined) throw new NexusError("wrong-state", `vm ${guest.name} has no address to be reached at`);
  return { host, port: 22 };
}

export type SshChoice = {
  user: string;
  /** A private key, and no other. */
  identity: string | undefined;
  /** The caller's key of Nexus for this guest, beside ssh's own choice. */
  ownKey: string | undefined;
  /** The command to run there, as ssh(1) passes it on: its words with spaces between, read by the guest's shell. */
  command: readonly string[];
  /** The caller's own, where keys of hosts are remembered. */
  stateDir: string;
};

/**
 * The arguments of ssh(1). Each virtual machine's host key is remembered in a file of its own and under its name: another one on the
 * same port or address is no forgery, and neither is one of the same name made anew.
 */
export function sshArguments(guest: GuestView, { host, port }: SshTarget, choice: SshChoice): string[] {
  const identity = choice.identity ?? choice.ownKey;
  const knownHosts = `UserKnownHostsFile=${quoted(knownHostsFile(guest, choice.stateDir))}`;
  const trust = ["-o", knownHosts, "-o", "StrictHostKeyChecking=accept-new", "-o", `HostKeyAlias=${guest.name}`];
  const key = [...(identity === undefined ? [] : ["-i", identity]), ...(choice.identity === undefined ? [] : ["-o", "IdentitiesOnly=yes"])];
  return [...trust, ...key, "-l", choice.user, "-p", String(port), "--", host, ...choice.command];
}

/** Made anew with each creation of the guest; what was remembered of its namesakes goes. */
function knownHostsFile(guest: GuestView, stateDir: string): string {
  const directory = join(stateDir, "ssh", "known_hosts");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = `${guest.name}@${Date.parse(guest.createdAt)}`;
  for (const other of readdirSync(directory))
    if (other !== file && other.startsWith(`${guest.name}@`)) rmSync(join(directory, other), { force: true });
  return join(directory, file);
}

/** As ssh_config(5) reads a file's name: % begins a token, and spaces end it unless quoted. */
function quoted(path: string): string {
  return `"${path.replaceAll("%", "%%").replace(/["\\]/g, "\\$&")}"`;
}
