import { linksOf, namespaces, routesOf, ruleset, sh } from "./host.ts";

/** Things of other programs, some under names that look like ours. */
export async function makeForeign(): Promise<void> {
  await sh("ip", "link", "set", "lo", "up");
  await sh("ip", "link", "add", "nx-office", "type", "bridge");
  await sh("ip", "addr", "add", "192.0.2.1/24", "dev", "nx-office");
  await sh("ip", "link", "set", "nx-office", "up");
  await sh("ip", "netns", "add", "nexus-office");
  await sh("ip", "link", "add", "office0", "type", "veth", "peer", "name", "office1", "netns", "nexus-office");
  await sh("ip", "link", "set", "office0", "up", "master", "nx-office");
  await sh("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.9", "dev", "nx-office");
  await sh(
    "nft",
    "add table ip nexus; add chain ip nexus office { type filter hook input priority 0; policy accept; }; add rule ip nexus office ip daddr 198.51.100.1 accept",
  );
}

/** All of it as text, to be the same at any time. */
export async function foreignState(): Promise<string> {
  const links = (await linksOf()).filter((link) => foreignLinks.includes(link.ifname));
  const inside = await linksOf("nexus-office");
  const routes = (await routesOf()).filter((route) => route.dev === "nx-office");
  const rules = (await ruleset()).filter((object) => Object.values(object).some((o) => o["family"] === "ip"));
  const shown = [...links, ...inside].map(({ ifname, group, mtu, address, flags, master, altnames, addr_info }) => ({
    ifname,
    group,
    mtu,
    address,
    flags,
    master,
    altnames,
    addr_info: addr_info.map((a) => a.local),
  }));
  return JSON.stringify({ shown, routes, rules, mounted: namespaces().get("nexus-office") }, undefined, 1);
}

const foreignLinks = ["nx-office", "office0"];
