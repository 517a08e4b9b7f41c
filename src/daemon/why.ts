import type { Input } from "../api/contract.ts";
import { NexusError, SpecError } from "../base/errors.ts";
import { parseIp } from "../base/ip.ts";
import { prefixAddress } from "../base/prefix.ts";
import type { WhyView } from "../spec/views.ts";
import { why } from "../plan/why.ts";
import type { NetworkEngine } from "./network-access.ts";
import type { World } from "./world.ts";

/** The policy's answer, with what only this host knows: its addresses and other programs' rules. */
export function answerWhy(
  query: Input<"why">["query"],
  { world, wiring, domain }: { world: World; wiring: NetworkEngine; domain: string },
): WhyView {
  const { host, port, protocol = query.protocol } = query.to;
  // Without being told, it is tcp.
  if (query.protocol !== "tcp" && protocol !== query.protocol)
    throw new SpecError([{ path: "query.to", problem: `says ${protocol}, and the protocol asked about is ${query.protocol}` }]);
  const desired = world.desired();
  const beyond = isBeyond(host, { world, domain });
  const name = beyond ? host : shortName(host);
  for (const asked of [shortName(query.from), ...(beyond ? [] : [name])]) checkKnown(asked, world);
  return why(
    {
      from: shortName(query.from),
      to: name,
      beyond,
      port,
      protocol,
      hostAddresses: wiring.facts.hostAddresses().map(prefixAddress),
      foreignDrops: wiring.facts.foreignDrops(),
    },
    desired,
  );
}

/** @throws NexusError not-found for a name that is no guest's */
function checkKnown(asked: string, world: World): void {
  if (
    asked === "host" ||
    asked === "outside" ||
    parseIp(asked) !== undefined ||
    [...world.guests.keys()].some((name) => (name as string) === asked)
  )
    return;
  throw new NexusError("not-found", `there is no guest ${asked}`, { hint: "name a guest, an address, `host` or `outside`" });
}

/** A name with dots that none of our zones has: a guest's full name begins with the guest. */
function isBeyond(text: string, { world, domain }: { world: World; domain: string }): boolean {
  if (parseIp(text) !== undefined || !text.includes(".") || text.endsWith(`.${domain}`)) return false;
  const [guest, network, ...rest] = text.split(".");
  const isGuests = [...world.guests.values()].some(
    ({ name, attachments }) =>
      (name as string) === guest && rest.length === 0 && attachments.some((a) => (a.network as string) === network),
  );
  return !isGuests;
}

/** Full names are asked about as well as short ones: `web.lan.nexus` is guest web. */
function shortName(text: string): string {
  return parseIp(text) === undefined ? (text.split(".")[0] ?? text) : text;
}
