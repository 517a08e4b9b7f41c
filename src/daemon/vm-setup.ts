import type { Machine } from "./kinds.ts";
import type { VmPlan, VmSetupTexts } from "../guests/qemu-plan.ts";
import { guestInterface } from "../base/names.ts";
import { makePrefix } from "../base/prefix.ts";
import type { CloudInit, CloudNic } from "../images/cloud-init.ts";
import { instanceStatusPath, provisionLogPath } from "../images/cloud-scripts.ts";
import { miniLogPath, miniSetupScript, miniStatusPath } from "../images/mini-setup.ts";
import { writeSeedIso } from "../images/seed-iso.ts";
import { hasWork } from "../spec/vm-setup.ts";

/** A plan without what is made from it here. `dhcp`: whether each card is told its addresses. */
export type SetupFacts = { plan: Omit<VmPlan, "setup">; dhcp: readonly boolean[] };

/** What tells a virtual machine how it is to be; undefined when nothing was asked. */
export function setupTexts(guest: Machine, facts: SetupFacts): VmSetupTexts | undefined {
  const { setup } = guest.spec;
  if (setup === undefined) return undefined;
  return {
    async seed(shareType) {
      // The YAML library is only for this: 4 MB that a daemon without such guests does not need.
      const { cloudSeed, seedFiles } = await import("../images/cloud-init.ts");
      return writeSeedIso(seedFiles(cloudSeed({ ...cloudWish(guest, facts), shareType })));
    },
    script: (shareType) => (hasWork(setup) ? miniSetupScript(setup, shareType) : undefined),
  };
}

/** Where in the guest it says how its set-up went, and what was said on the way; undefined when nobody can learn of it, or there is nothing to learn. */
export function setupReport(guest: Machine, facts: () => SetupFacts): { status: string; log: string } | undefined {
  const { setup, image } = guest.spec;
  if (setup === undefined || !hasWork(setup)) return undefined;
  if (image === "mini") return { status: miniStatusPath, log: miniLogPath };
  return setup.agent ? { status: instanceStatusPath(cloudWish(guest, facts())), log: provisionLogPath } : undefined;
}

/**
 * What stays the same from start to start unless somebody asked for a change: cloud-init does everything again for anything new in it.
 * So what DHCP tells is not in it, nor the MTU, which the card itself has.
 */
function cloudWish({ id, spec }: Machine, { plan, dhcp }: SetupFacts): CloudInit {
  const { setup } = spec;
  const [domain] = plan.searchDomains;
  return {
    guestId: id,
    hostname: plan.hostname,
    ...(domain === undefined ? {} : { fqdn: `${plan.hostname}.${domain}` }),
    ...(setup?.user === undefined ? {} : { user: setup.user }),
    ...(setup?.userData === undefined ? {} : { userData: setup.userData }),
    authorizedKeys: setup?.authorizedKeys ?? [],
    packages: setup?.packages ?? [],
    environment: spec.env,
    mounts: setup?.mounts ?? [],
    provision: setup?.provision ?? [],
    agent: setup?.agent ?? false,
    nics: plan.nics.length === 0 ? [{ name: guestInterface(0), mac: plan.userMac, dhcp4: true, dhcp6: false }] : cardsOf(plan, dhcp),
  };
}

function cardsOf(plan: SetupFacts["plan"], dhcp: readonly boolean[]): CloudNic[] {
  return plan.nics.map((nic, i): CloudNic => {
    const card = { name: guestInterface(i), mac: nic.mac };
    const has6 = nic.addresses.some((cidr) => cidr.includes(":"));
    if (dhcp[i] === true) return { ...card, dhcp4: true, dhcp6: has6 };
    return {
      ...card,
      dhcp4: false,
      dhcp6: false,
      acceptRa: false,
      addresses: nic.addresses,
      routes: nic.gateways.map((via) => ({ to: makePrefix(via, 0), via })),
      ...(i === 0 ? { nameservers: plan.nameservers, searchDomains: plan.searchDomains } : {}),
    };
  });
}
