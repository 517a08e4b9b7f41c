import type { Input } from "../api/contract.ts";
import { parseIp } from "../base/ip.ts";
import { prefixAddress } from "../base/prefix.ts";
import type { WhyView } from "../spec/views.ts";
import { why } from "../plan/why.ts";
import type { Wiring } from "./wiring.ts";
import type { World } from "./world.ts";

/** The policy's answer, with what only this host knows: its addresses and other programs' rules. */
export function answerWhy(query: Input<"why">["query"], world: World, wiring: Wiring): WhyView {
  const { host, port } = query.to;
  const desired = world.desired();
  const name = shortName(host);
  return why(
    {
      from: shortName(query.from),
      to: name,
      port,
      protocol: query.protocol,
      hostAddresses: wiring.hostAddresses().map(prefixAddress),
      foreignDrops: wiring.foreignDrops(),
    },
    desired,
  );
}

/** Full names are asked about as well as short ones: `web.lan.nexus` is guest web. */
function shortName(text: string): string {
  return parseIp(text) === undefined ? (text.split(".")[0] ?? text) : text;
}
