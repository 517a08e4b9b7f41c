import { closeSync, constants, openSync } from "node:fs";
import { Firewall } from "../../src/kernel/firewall.ts";
import type { Ruleset } from "../../src/plan/firewall/ruleset.ts";
import type { Element, Family, FirewallChange } from "../../src/wire/nftables/model.ts";

/** Puts a ruleset of ours into a namespace the way the daemon does: in-process, over one socket that stays open. */
export function loadNexusRuleset(netns: string, rules: Ruleset): Disposable {
  const fd = openSync(`/run/netns/${netns}`, constants.O_RDONLY);
  try {
    const firewall = Firewall.open({ netns: fd });
    load(firewall, rules);
    return firewall;
  } finally {
    closeSync(fd);
  }
}

export function load(firewall: Firewall, { tables, elements }: Ruleset): void {
  const changes: FirewallChange[] = tables.map((table) => ({ kind: "add-table", table }));
  firewall.apply("load the tables", changes);
  for (const [key, all] of elements) for (const part of parts(all)) firewall.apply(`load ${key}`, [addition(key, part)]);
}

function addition(key: string, elements: Element[]): FirewallChange {
  const [family, table, set] = key.split(" ") as [Family, string, string];
  return { kind: "add-elements", family, table, set, elements };
}

/** One netlink datagram has to fit the socket's send buffer. */
function* parts(elements: readonly Element[]): Generator<Element[]> {
  for (let from = 0; from < elements.length; from += 4096) yield elements.slice(from, from + 4096);
}
