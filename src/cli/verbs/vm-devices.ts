import { NexusError } from "../../base/errors.ts";
import type { GuestChangeInput } from "../../spec/change.ts";
import type { VmSpec } from "../../spec/vm.ts";
import type { VerbContext } from "../context.ts";
import { disksOf, networksOf, refsOf } from "../guest-flags.ts";
import { guestLine } from "../guest-text.ts";

/** Networks and disks that a virtual machine gets, while it runs when it does. */
export async function attach(c: VerbContext): Promise<void> {
  const [networks, disks] = [networksOf(c), disksOf(c)];
  await change(c, (spec) => ({
    ...(networks.length === 0 ? {} : { networks: [...spec.networks, ...networks] }),
    ...(disks.length === 0 ? {} : { disks: [...spec.disks, ...disks] }),
  }));
}

/** Those it loses; what is on a disk stays there. */
export async function detach(c: VerbContext): Promise<void> {
  const networks = refsOf(c).map(({ network }): string => network);
  const sources = disksOf(c).map(({ source }) => source);
  await change(c, ({ name, ...spec }) => {
    refuseAbsent(
      networks,
      spec.networks.map(({ network }): string => network),
      (what) => `${name} is not on network ${what}`,
    );
    refuseAbsent(
      sources,
      spec.disks.map(({ source }) => source),
      (what) => `${name} has no disk of ${what}`,
    );
    return {
      ...(networks.length === 0 ? {} : { networks: spec.networks.filter(({ network }) => !networks.includes(network)) }),
      ...(sources.length === 0 ? {} : { disks: spec.disks.filter(({ source }) => !sources.includes(source)) }),
    };
  });
}

async function change(c: VerbContext, devices: (spec: VmSpec) => GuestChangeInput): Promise<void> {
  const params = { name: c.arg("NAME") };
  if (c.flags.many("network").length + c.flags.many("volume").length === 0)
    throw new NexusError("usage", "no network and no volume is given", { hint: "--network NET[:ADDRESS], or --volume VOLUME|FILE[:SIZE]" });
  const client = await c.client();
  const { spec } = await client.call("vm.get", { params });
  const guest = await client.call("guest.change", { params, body: devices(spec as VmSpec) });
  c.out.result(guest, () => guestLine(guest));
}

/** @throws NexusError not-found */
function refuseAbsent(wanted: readonly string[], there: readonly string[], words: (what: string) => string): void {
  const lost = wanted.find((what) => !there.includes(what));
  if (lost !== undefined) throw new NexusError("not-found", words(lost), { hint: "nexus vm inspect shows what it has" });
}
