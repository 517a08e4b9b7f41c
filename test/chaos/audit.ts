import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { GuestView, NetworkView } from "../../src/spec/views.ts";
import { comparedSets, expectedElements, listedElements, owners } from "./expected-elements.ts";
import * as host from "./host.ts";
import type { Nexusd } from "./nexusd.ts";

/** What else is on the host and must stay as it is. */
export type Surroundings = { links: string[]; namespaces: string[]; routes: string[]; tables: string[]; cgroups: string[] };

export function surroundingsOf(links: readonly host.HostLink[], routes: readonly host.HostRoute[], ruleset: host.Ruleset): Surroundings {
  return {
    links: links.map((l) => l.ifname),
    namespaces: [...host.namespaces().keys()],
    routes: routes.map(routeText),
    tables: tablesOf(ruleset),
    cgroups: host.cgroups(() => true),
  };
}

/** Everything on the host that is not exactly as these networks and guests say, one line each. */
export async function audit(
  daemon: Nexusd,
  views: { networks: readonly NetworkView[]; guests: readonly GuestView[] },
  around: Surroundings,
): Promise<string[]> {
  const { networks, guests } = views;
  const live = guests.filter((guest) => guest.state === "running");
  const [links, routes, ruleset] = await Promise.all([host.linksOf(), host.routesOf(), host.ruleset()]);
  const inside = await Promise.all(live.map((guest) => guestFaults(guest)));
  return [
    ...same(
      "links",
      links.map((l) => l.ifname),
      [...around.links, ...networks.map((n) => n.bridge), ...live.flatMap((g) => g.attachments.map((a) => a.hostInterface))],
    ),
    ...same("namespaces", [...host.namespaces().keys()], [...around.namespaces, ...live.map((g) => netnsOf(g.name))]),
    ...[...host.namespaces()].filter(([, mounts]) => mounts !== 1).map(([name, mounts]) => `namespace ${name} is mounted ${mounts} times`),
    ...same("routes", routes.map(routeText), around.routes),
    ...networks.flatMap((network) => bridgeFaults(network, links)),
    ...live.flatMap((guest) => portFaults(guest, networks, links)),
    ...inside.flat(),
    ...firewallFaults({ networks, guests: live }, ruleset, around),
    ...stateFaults(daemon, guests),
    ...containerFaults(daemon, guests, around),
  ];
}

export function same(what: string, found: readonly string[], wanted: readonly string[]): string[] {
  const extra = found.filter((item) => !wanted.includes(item));
  const missing = wanted.filter((item) => !found.includes(item));
  const twice = found.filter((item, i) => found.indexOf(item) !== i);
  return [
    ...extra.map((item) => `${what}: ${item} should not be there`),
    ...missing.map((item) => `${what}: ${item} is missing`),
    ...twice.map((item) => `${what}: ${item} is there twice`),
  ];
}

function bridgeFaults(network: NetworkView, links: readonly host.HostLink[]): string[] {
  const link = links.find((l) => l.ifname === network.bridge);
  if (link === undefined) return [];
  const of = `bridge ${network.bridge}`;
  return [
    ...differs(
      of,
      { kind: link.linkinfo?.info_kind, group: link.group, mtu: link.mtu, mac: link.address, up: link.flags.includes("UP") },
      { kind: "bridge", group: String(network.group), mtu: network.mtuBytes, mac: network.mac, up: true },
    ),
    ...same(
      `${of} addresses`,
      globalAddresses(link),
      network.subnets.map((s) => `${s.gateway}/${s.prefix.split("/")[1]}`),
    ),
    ...((link.altnames ?? []).includes(`nexus:${network.name}`) ? [] : [`${of} lost its mark`]),
  ];
}

function portFaults(guest: GuestView, networks: readonly NetworkView[], links: readonly host.HostLink[]): string[] {
  return guest.attachments.flatMap((nic) => {
    const link = links.find((l) => l.ifname === nic.hostInterface);
    const network = networks.find((n) => n.name === nic.network);
    if (link === undefined || network === undefined) return [];
    const said = {
      master: link.master,
      group: link.group,
      mtu: link.mtu,
      up: link.flags.includes("UP"),
      isolated: link.linkinfo?.info_slave_data?.isolated,
      hairpin: link.linkinfo?.info_slave_data?.hairpin,
    };
    return differs(`port ${nic.hostInterface} of ${guest.name}`, said, {
      master: network.bridge,
      group: String(network.group),
      mtu: network.mtuBytes,
      up: true,
      isolated: network.isolation === "guests",
      hairpin: true,
    });
  });
}

async function guestFaults(guest: GuestView): Promise<string[]> {
  const netns = netnsOf(guest.name);
  const of = `guest ${guest.name}`;
  try {
    const [links, routes] = await Promise.all([host.linksOf(netns), host.routesOf(netns)]);
    const gateways = guest.attachments.flatMap((a) => a.gateways);
    return [
      ...same(
        `${of} links`,
        links.map((l) => l.ifname),
        ["lo", ...guest.attachments.map((a) => a.nic)],
      ),
      ...links.flatMap((link) => {
        const nic = guest.attachments.find((a) => a.nic === link.ifname);
        const up = link.flags.includes("UP");
        if (nic === undefined) return up ? [] : [`${of}: ${link.ifname} is down`];
        return [
          ...differs(`${of} ${nic.nic}`, { up, mac: link.address, mtu: link.mtu }, { up: true, mac: nic.mac, mtu: nic.mtuBytes }),
          ...same(`${of} ${nic.nic} addresses`, globalAddresses(link), nic.addresses),
        ];
      }),
      ...same(
        `${of} default routes`,
        routes.filter((r) => r.dst === "default" && r.gateway !== undefined).map((r) => r.gateway as string),
        gateways,
      ),
    ];
  } catch (error) {
    return [`${of}: its namespace cannot be looked into: ${String(error)}`];
  }
}

function firewallFaults(
  views: { networks: readonly NetworkView[]; guests: readonly GuestView[] },
  ruleset: host.Ruleset,
  around: Surroundings,
): string[] {
  const tables = views.networks.length === 0 ? [] : ["inet nexus", "bridge nexus"];
  const faults = same("tables", tablesOf(ruleset), [...around.tables, ...tables]);
  if (faults.length > 0 || tables.length === 0) return faults;
  const listed = listedElements(ruleset);
  const expected = expectedElements(views.networks, views.guests);
  for (const set of comparedSets)
    faults.push(
      ...same(
        set,
        (listed.get(set) ?? []).filter((e) => !e.includes("fe80::")),
        expected.get(set) ?? [],
      ),
    );
  const known = new Set([...views.networks.map((n) => `network ${n.name}`), ...views.guests.map((g) => `guest ${g.name}`)]);
  for (const owner of owners(ruleset)) if (!known.has(owner)) faults.push(`an element belongs to ${owner}, which is not there`);
  const counters = ruleset.filter((object) => object["counter"]?.["table"] === "nexus").length;
  if (counters !== 2 * views.networks.length) faults.push(`${counters} counters for ${views.networks.length} networks`);
  return faults;
}

/** The database, read beside the daemon: rows of what is there and of nothing else. */
function stateFaults(daemon: Nexusd, guests: readonly GuestView[]): string[] {
  using db = new DatabaseSync(join(daemon.places.stateDir, "nexus.db"), { readOnly: true });
  const texts = (sql: string) =>
    db
      .prepare(sql)
      .all()
      .map((row) => String(row["text"]));
  const leases = guests.flatMap((g) =>
    g.attachments.flatMap((a) => a.addresses.map((cidr) => `${g.name} ${a.network} ${cidr.replace(/\/.*/, "")}`)),
  );
  return [
    ...same(
      "rows of guests",
      texts("SELECT name AS text FROM guests"),
      guests.map((g) => g.name),
    ),
    ...same(
      "rows of leases",
      texts("SELECT g.name || ' ' || l.network || ' ' || l.address AS text FROM leases l JOIN guests g ON g.id = l.guest"),
      leases,
    ),
    ...same(
      "rows of attachments",
      texts("SELECT host_interface AS text FROM attachments"),
      guests.flatMap((g) => g.attachments.map((a) => a.hostInterface)),
    ),
    ...texts("SELECT name AS text FROM guests WHERE desired = 'absent'").map((name) => `guest ${name} is still on its way out`),
  ];
}

/** Directories, mounts, cgroups and processes of containers: those of the nodes that are there. */
function containerFaults(daemon: Nexusd, guests: readonly GuestView[], around: Surroundings): string[] {
  const { stateDir } = daemon.places;
  const nodes = guests.filter((g) => g.kind === "container");
  const running = nodes.filter((g) => g.state === "running");
  const here = join(stateDir, "guests");
  const ids = existsSync(here) ? readdirSync(here) : [];
  const isOf = (id: string) => (guest: GuestView) => id.slice(0, -9) === guest.name;
  const faults = same(
    "directories of nodes",
    ids.map((id) => id.slice(0, -9)),
    nodes.map((g) => g.name),
  );
  const mounts = host.mountPoints().filter((point) => point.startsWith(`${stateDir}/`));
  faults.push(
    ...same(
      "mounts",
      mounts,
      ids.filter((id) => mounts.includes(`${here}/${id}/rootfs`) || running.some(isOf(id))).map((id) => `${here}/${id}/rootfs`),
    ),
  );
  // Daemons of other network namespaces share the parent of all groups.
  const groups = host.cgroups((name) => (nodes.some(isOf(name)) || daemon.isOurs(name)) && !around.cgroups.includes(name));
  faults.push(
    ...same(
      "cgroups",
      groups,
      ids.filter((id) => groups.includes(id) || running.some(isOf(id))),
    ),
  );
  for (const [pid, line] of host.processesWith(stateDir)) {
    if (pid !== daemon.pid && !ids.some((id) => line.includes(id) && running.some(isOf(id))))
      faults.push(`process ${pid} is left: ${line.slice(0, 120)}`);
  }
  for (const guest of running) {
    if (guest.pid === undefined || !host.isAlive(guest.pid)) faults.push(`node ${guest.name} is said to run and has no process`);
    else if (host.namespaceOf(`/proc/${guest.pid}/ns/net`) !== host.namespaceOf(`/run/netns/${netnsOf(guest.name)}`))
      faults.push(`node ${guest.name} does not live in its own namespace`);
  }
  // Empty ones in stock are no guest's; one of a guest would outlive its removal.
  const open = host.openFiles(daemon.pid).filter((name) => name.startsWith("net:["));
  const named = new Set([...host.namespaces().keys()].map((name) => `net:[${host.namespaceOf(`/run/netns/${name}`)}]`));
  if (open.some((name) => named.has(name))) faults.push("nexusd keeps a guest's namespace open");
  if (open.length > mostInStock) faults.push(`nexusd keeps ${open.length} namespaces open`);
  return faults;
}

const mostInStock = 16;

function netnsOf(guest: string): string {
  return `nexus-${guest}`;
}

function differs(of: string, said: Record<string, unknown>, wanted: Record<string, unknown>): string[] {
  return Object.keys(wanted)
    .filter((key) => said[key] !== wanted[key])
    .map((key) => `${of}: ${key} is ${String(said[key])} and should be ${String(wanted[key])}`);
}

function globalAddresses(link: host.HostLink): string[] {
  return link.addr_info.filter((a) => a.scope === "global").map((a) => `${a.local}/${a.prefixlen}`);
}

/** The kernel makes multicast routes for every link by itself. */
function routeText(route: host.HostRoute): string {
  return `${route.dst} dev ${route.dev}${route.gateway === undefined ? "" : ` via ${route.gateway}`}`;
}

function tablesOf(ruleset: host.Ruleset): string[] {
  return ruleset.flatMap((object) =>
    object["table"] === undefined ? [] : [`${String(object["table"]["family"])} ${String(object["table"]["name"])}`],
  );
}
