import { unreachable } from "../base/exhaustive.ts";
import { bytesText, since } from "./figures.ts";
import { facts } from "./tables.ts";
import type { PublishSpec } from "../spec/node.ts";
import type { GuestView, LimitsView, SetupView } from "../spec/views.ts";

/** What is told of a guest that was just made. */
export function guestLine(guest: GuestView): string {
  const ssh = guest.sshPort === undefined ? "" : `ssh 127.0.0.1:${guest.sshPort}`;
  const parts = [guest.name, stateText(guest), addressesText(guest), publishText(guest.publish), ssh];
  return `${parts.filter((part) => part !== "").join("  ")}\n`;
}

/** `10.0.42.5, fd00::5`: where a guest is reached. */
export function addressesText(guest: GuestView): string {
  return guest.attachments.flatMap((a) => a.addresses.map((cidr) => cidr.split("/")[0] ?? cidr)).join(",");
}

export function publishText(publish: readonly PublishSpec[]): string {
  return publish.map(oneText).join(", ");
}

/** `running 5m`, `exited (137, out of memory) 2s ago`. */
export function stateText(guest: GuestView): string {
  if (guest.state === "running" && guest.startedAt !== undefined)
    return `running ${since(guest.startedAt)}${guest.health === undefined ? "" : ` (${guest.health.state})`}`;
  if (guest.exit === undefined || (guest.state !== "exited" && guest.state !== "failed")) return guest.state;
  const how = guest.exit.oomKilled ? "out of memory" : (guest.exit.signal ?? String(guest.exit.code));
  return `${guest.state} (${how}) ${since(guest.exit.at)} ago`;
}

/** `being set up`, `set-up failed: …`. */
export function setupText({ state, said }: SetupView): string {
  switch (state) {
    case "pending":
      return "being set up";
    case "done":
      return "set up";
    case "failed":
      return `set-up failed: ${said ?? "it does not say why"}`;
    default:
      return unreachable(state);
  }
}

/** Everything worth knowing of one guest, for `inspect`. What a guest said is shown, not obeyed; only `logs` passes it on raw, as it must. */
export function guestFacts(g: GuestView): string {
  const pairs: (readonly [string, string | undefined])[] = [
    ["name", g.name],
    ["state", stateText(g)],
    ["problem", g.problem],
    ["health", g.health === undefined ? undefined : [g.health.state, g.health.said].filter((part) => part !== undefined).join(": ")],
    ["set-up", g.setup === undefined ? undefined : setupText(g.setup)],
    ["image", g.image],
    ["command", g.spec !== undefined && "command" in g.spec ? g.spec.command.join(" ") : undefined],
    ["pid", g.pid?.toString()],
    ["runtime", g.runtime],
    ["acceleration", g.acceleration === undefined ? undefined : `${g.acceleration.kind}: ${g.acceleration.why}`],
    ["runs as", g.runsAs === undefined ? undefined : runsAsText(g.runsAs)],
    ["ssh", g.sshPort === undefined ? undefined : `127.0.0.1:${g.sshPort}`],
    ["ssh user", g.sshUser],
    ["restarts", g.restarts === 0 ? undefined : `${g.restarts} (policy ${g.spec?.restart ?? "no"})`],
    ["limits", g.limits === undefined ? undefined : limitsText(g.limits)],
    ["namespace", g.netns],
    ...g.attachments.map(
      (a) =>
        [
          `network ${a.network}`,
          `${a.addresses.join(", ")}  via ${a.gateways.join(", ") || "-"}  ${a.nic} ${a.mac}, mtu ${a.mtuBytes}, host side ${a.hostInterface}`,
        ] as const,
    ),
    ["published", publishText(g.publish)],
    ["created", g.createdAt],
    ...(g.exit?.lastLines ?? []).map((line) => ["last words", line] as const),
  ];
  return facts(pairs.map(([what, value]) => [what, value === undefined ? undefined : visibleText(value)]));
}

/**
 * Text with nothing in it that a terminal acts on: control characters, marks that turn or hide text, and breaks of lines
 * are written as `\x1b` or `\u{202e}`.
 */
export function visibleText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u{${code}}`;
  });
}

function runsAsText({ uid, why }: NonNullable<GuestView["runsAs"]>): string {
  return `${uid === 0 ? "root of the host" : `user ${uid} of the host`}${why === undefined ? "" : `: ${why}`}`;
}

function limitsText(limits: LimitsView): string {
  const parts: string[] = [];
  if (limits.memoryBytes !== undefined) parts.push(`memory ${bytesText(limits.memoryBytes)}`);
  if (limits.cpuShares !== undefined) parts.push(`cpu weight ${limits.cpuShares}`);
  if (limits.cpus !== undefined) parts.push(`cpus ${limits.cpus}`);
  if (limits.pids !== undefined) parts.push(`pids ${limits.pids}`);
  return parts.join(", ");
}

function oneText(p: PublishSpec): string {
  const host = p.hostAddress === undefined ? "" : p.hostAddress.includes(":") ? `[${p.hostAddress}]:` : `${p.hostAddress}:`;
  const width = p.hostPortEnd === undefined ? 0 : p.hostPortEnd - p.hostPort;
  const range = (from: number) => (width === 0 ? String(from) : `${from}-${from + width}`);
  return `${host}${range(p.hostPort)}->${range(p.guestPort)}/${p.protocol}`;
}
