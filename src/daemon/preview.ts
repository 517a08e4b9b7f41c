import type { Input } from "../api/contract.ts";
import { explain } from "../plan/explain.ts";
import { canonical } from "../spec/compose/names.ts";
import { defaultNetwork } from "./default-network.ts";
import { admit, type Newcomer } from "./admit.ts";
import type { Rooms } from "./handlers.ts";
import { World } from "./world.ts";

/** What creating these networks, nodes and virtual machines would do, as commands. Everything is decided as it would be, on a copy; the host is only read. */
export function preview(wanted: Input<"plan.preview">["body"], r: Rooms): string[] {
  const copy = new World(r.world.instance, { networks: r.networks.all(), guests: r.guests.all() });
  const lines: string[] = [];
  const addNetwork = (spec: (typeof wanted.networks)[number]) => {
    const row = r.networks.decide(spec, copy);
    r.wiring.checkBridge(row);
    copy.addNetwork(row);
    lines.push(...r.wiring.networkSteps(row, copy).flatMap(explain));
  };
  // What is there as described is left as it is; what is there otherwise is refused by name, as creating it would be.
  for (const spec of wanted.networks) if (!same(copy.networks.get(spec.name)?.spec, spec)) addNetwork(spec);
  const addGuest = (newcomer: Newcomer, how: string) => {
    const { guest, claims } = admit(newcomer, r.guests.admission(copy));
    copy.addGuest(guest, claims);
    lines.push(...r.wiring.attachSteps(guest, copy).flatMap(explain), `# ${how}`);
  };
  for (const spec of wanted.nodes) {
    const networks = spec.networks ?? [{ network: defaultNetwork(r.settings.config).name }];
    if (same(copy.guests.get(spec.name)?.spec, { ...spec, networks })) continue;
    if (spec.networks === undefined && !copy.networks.has(networks[0]!.network)) addNetwork(defaultNetwork(r.settings.config));
    addGuest({ kind: "container", spec: { ...spec, networks } }, `run ${spec.image} as node ${spec.name} in ${spec.name}'s namespace`);
  }
  for (const spec of wanted.vms)
    if (!same(copy.guests.get(spec.name)?.spec, spec))
      addGuest(
        { kind: "vm", spec },
        `run ${spec.image} as virtual machine ${spec.name}${spec.networks.length === 0 ? ", in user mode" : ""}`,
      );
  return lines;
}

/** As JSON, in which state keeps it: a key without a value is none. */
function same(present: unknown, wanted: unknown): boolean {
  return canonical(present ?? null) === canonical(wanted);
}
