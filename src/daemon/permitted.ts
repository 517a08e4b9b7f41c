import type { Handlers } from "../api/contract.ts";
import type { NetworkEngine } from "./network-access.ts";

/** What is about networks and what lives on them, by the first word of an operation's id. */
const aboutNetworks: ReadonlySet<string> = new Set(["network", "node", "attachment", "plan", "reconcile", "why"]);

type Plain = (input: never, context: never) => Promise<unknown>;

/** The same operations; those about networks are refused at the door where there can be none. */
export function permitted(handlers: Handlers, wiring: Pick<NetworkEngine, "requireRights">): Handlers {
  const wrap = ([id, handler]: [string, Plain]): [string, Plain] => {
    if (!aboutNetworks.has(id.split(".")[0] ?? "")) return [id, handler];
    return [
      id,
      async (input, context) => {
        wiring.requireRights();
        return await handler(input, context);
      },
    ];
  };
  return Object.fromEntries(Object.entries(handlers).map(wrap)) as Handlers;
}
