import type { Input } from "../api/contract.ts";
import { NexusError } from "../base/errors.ts";
import { parseIp } from "../base/ip.ts";
import { prefixAddress } from "../base/prefix.ts";
import type { WhyView } from "../spec/views.ts";
import { why } from "../plan/why.ts";
import type { NetworkEngine } from "./network-access.ts";
import type { World } from "./world.ts";

/** The policy's answer, with what only this host knows: its addresses and other programs' rules. */
export function answerWhy(query: Input<"why">["query"], world: World, wiring: NetworkEngine): WhyView {
  const { host, port } = query.to;
  const desired = world.desired();
  const name = shortName(host);
  for (const asked of [shortName(query.from), name]) checkKnown(asked, world);
  return why(
    {
      from: shortName(query.from),
      to: name,
      port,
      protocol: query.protocol,
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

/** Full names are asked about as well as short ones: `web.lan.nexus` is guest web. */
function shortName(text: string): string {
  return parseIp(text) === undefined ? (text.split(".")[0] ?? text) : text;
}
