import { WireError } from "../../base/errors.ts";
import { type Ip, ipFamily, ipToBytes } from "../../base/ip.ts";
import type { Name } from "../../base/names.ts";
import type { Prefix } from "../../base/prefix.ts";
import { type DnsName, labelStarts, nameFromText, nameToBytes } from "../../wire/dns/name.ts";
import { privateReverseZones, reverseLabels, reverseName, reverseZones } from "./reverse.ts";

/** One guest on one network. Guests may share an alias: all their addresses answer to it. `project`: it is also `<service>.<project>` in the domain. */
export type GuestRecord = {
  guest: Name;
  addresses: readonly Ip[];
  aliases?: readonly Name[];
  project?: { service: string; name: string };
};

/** A network as DNS sees it. `gateway` names its gateways unless a guest has that name. */
export type NetworkZone = {
  network: Name;
  prefixes: readonly Prefix[];
  gateways: readonly Ip[];
  /** Networks whose names this one may see, itself apart. */
  visible: readonly Name[];
};

/** All addresses of one name of one network, as record data. */
export type NameEntry = {
  readonly kind: "name";
  readonly network: string;
  readonly v4: readonly Uint8Array[];
  readonly v6: readonly Uint8Array[];
};

/**
 * What the zones know of a name. `zoneLabels` is how many labels at its end name the zone that answers for it.
 * `empty` exists without records (NODATA), `absent` does not exist (NXDOMAIN), `private` is a reverse range of this
 * site but of none of our networks, `plain` a single label nobody here has, `elsewhere` the rest of the world's.
 */
export type Found =
  | NameEntry
  | { kind: "pointer"; targets: readonly Uint8Array[]; zoneLabels: number }
  | { kind: "apex"; zoneLabels: number }
  | { kind: "empty" | "absent" | "private"; zoneLabels: number }
  | { kind: "plain" | "elsewhere" };

export type ZonesOptions = { domain: string };

type Named = Omit<GuestRecord, "guest" | "aliases"> & { guest: string; aliases?: readonly string[] };
type Guest = { record: Named; labels: string[]; reverse: DnsName[]; pointer: Pointer };
type Pointer = { network: string; target: Uint8Array };
type Network = {
  zone: NetworkZone;
  sees: Set<string>;
  guests: Map<string, Guest>;
  names: Map<string, Holders>;
  gateway: Guest | undefined;
  reverse: DnsName[];
};
type Holders = { guests: Set<Guest>; entry: NameEntry };

/**
 * Every name of every network with what may be seen from where. Lookups are a few Map reads whatever the number of names;
 * a change costs the size of the guest changed, and holds for the next lookup.
 */
export class Zones {
  readonly #domain: DnsName;
  readonly #domainLabels: number;
  readonly #networks = new Map<string, Network>();
  readonly #full = new Map<DnsName, NameEntry>();
  readonly #short = new Map<DnsName, Map<string, NameEntry>>();
  readonly #pointers = new Map<DnsName, Set<Pointer>>();
  readonly #reverseZones = new Map<DnsName, number>();
  /** The networks each guest is on, and whose an address is: who is on several may know the names of all of them. */
  readonly #homes = new Map<string, Set<string>>();
  readonly #owners = new Map<string, string>();
  readonly #private = new Set(privateReverseZones());
  readonly #loopback: NameEntry;
  #serial = 1;

  /** @throws WireError when the domain is no name */
  constructor(options: ZonesOptions) {
    this.#domain = nameFromText(options.domain.toLowerCase());
    if (this.#domain.length > maxDomainBytes)
      throw new WireError("domain", `"${options.domain}" leaves no room for a guest's and a network's name`);
    this.#domainLabels = labelStarts(this.#domain).length;
    this.#loopback = { kind: "name", network: "localhost", v4: [Uint8Array.of(127, 0, 0, 1)], v6: [new Uint8Array(16).fill(1, 15)] };
  }

  get domain(): DnsName {
    return this.#domain;
  }

  /** Grows with every change: the serial number of our SOA records. */
  get serial(): number {
    return this.#serial;
  }

  /** Adds the network or brings it to this form; its guests stay. */
  setNetwork(zone: NetworkZone): void {
    const before = this.#networks.get(zone.network);
    const network = before ?? { zone, sees: new Set(), guests: new Map(), names: new Map(), gateway: undefined, reverse: [] };
    this.#networks.set(zone.network, network);
    this.#dropReverse(network);
    network.zone = zone;
    network.sees = new Set<string>([zone.network, ...zone.visible]);
    network.reverse = zone.prefixes.flatMap(reverseZones);
    for (const name of network.reverse) this.#reverseZones.set(name, (this.#reverseZones.get(name) ?? 0) + 1);
    if (network.gateway !== undefined) this.#drop(network, network.gateway);
    network.gateway = this.#add(network, { guest: gatewayName, addresses: zone.gateways });
    this.#serial++;
  }

  setVisible(network: Name, visible: readonly Name[]): void {
    const known = this.#networks.get(network);
    if (known === undefined) return;
    known.zone = { ...known.zone, visible };
    known.sees = new Set<string>([network, ...visible]);
    this.#serial++;
  }

  removeNetwork(name: Name): void {
    const network = this.#networks.get(name);
    if (network === undefined) return;
    for (const guest of network.guests.values()) this.#dropGuest(network, guest);
    if (network.gateway !== undefined) this.#drop(network, network.gateway);
    this.#dropReverse(network);
    this.#networks.delete(name);
    this.#serial++;
  }

  /** The guests of a network, all of them; only what differs is touched. */
  setRecords(network: Name, records: readonly GuestRecord[]): void {
    const known = this.#network(network);
    const wanted = new Set<string>(records.map((record) => record.guest));
    for (const guest of known.guests.keys()) if (!wanted.has(guest)) this.#remove(known, guest);
    for (const record of records) this.addGuest(network, record);
  }

  /** Adds the guest or replaces what is known of it. */
  addGuest(network: Name, record: GuestRecord): void {
    const known = this.#network(network);
    const before = known.guests.get(record.guest);
    if (before !== undefined) {
      if (sameRecord(before.record, record)) return;
      this.#dropGuest(known, before);
    }
    known.guests.set(record.guest, this.#add(known, record));
    addTo(this.#homes, record.guest, network);
    for (const address of record.addresses) this.#owners.set(address, record.guest);
    this.#serial++;
  }

  removeGuest(network: Name, guest: Name): void {
    const known = this.#networks.get(network);
    if (known !== undefined) this.#remove(known, guest);
  }

  /** What a guest of network `from`, at the address `client`, may know of a folded name. */
  find(from: Name, name: DnsName, client?: string): Found {
    const sees = this.#seenBy(from, client);
    const entry = this.#full.get(name);
    if (entry !== undefined && sees?.has(entry.network) === true) return entry;
    const starts = labelStarts(name);
    const tail = (labels: number) => name.slice(starts[starts.length - labels] ?? name.length);
    if (tail(1) === localhost) return this.#loopback;
    if (starts.length >= this.#domainLabels && tail(this.#domainLabels) === this.#domain) {
      // A project's name is nobody's zone: whoever may see one of its guests may know that guest by it.
      const ofProject = this.#shortName(name, from, sees);
      return ofProject === plain ? this.#inDomain(starts.length, tail, sees) : ofProject;
    }
    if (starts.length === 1) return this.#shortName(name, from, sees);
    const complete = reverseLabels(tail(2));
    return complete === undefined ? elsewhere : this.#reverse(name, { starts, complete, sees });
  }

  #inDomain(labels: number, tail: (labels: number) => DnsName, sees: Set<string> | undefined): Found {
    const zoneLabels = this.#domainLabels;
    if (labels === zoneLabels) return { kind: "apex", zoneLabels };
    if (labels > zoneLabels + 1) return { kind: "absent", zoneLabels };
    const own = tail(labels);
    const network = own.slice(1, 1 + own.charCodeAt(0));
    return { kind: sees?.has(network) === true && this.#networks.has(network) ? "empty" : "absent", zoneLabels };
  }

  /** A single label belongs to the asking network first, then to the one network it may see that has it. */
  #shortName(name: DnsName, from: Name, sees: Set<string> | undefined): Found {
    const holders = this.#short.get(name);
    if (holders === undefined || sees === undefined) return plain;
    const own = holders.get(from);
    if (own !== undefined) return own;
    let only: NameEntry | undefined;
    for (const [network, entry] of holders) {
      if (!sees.has(network)) continue;
      if (only !== undefined) return plain;
      only = entry;
    }
    return only ?? plain;
  }

  #reverse(name: DnsName, query: { starts: number[]; complete: number; sees: Set<string> | undefined }): Found {
    const { starts, complete, sees } = query;
    for (const [i, start] of starts.entries()) {
      const suffix = name.slice(start);
      const zoneLabels = starts.length - i;
      if (this.#reverseZones.has(suffix)) {
        const targets = [...(this.#pointers.get(name) ?? [])]
          .filter((pointer) => sees?.has(pointer.network))
          .map((pointer) => pointer.target);
        if (targets.length > 0) return { kind: "pointer", targets, zoneLabels };
        return { kind: starts.length < complete ? "empty" : "absent", zoneLabels };
      }
      if (this.#private.has(suffix)) return { kind: "private", zoneLabels };
    }
    return elsewhere;
  }

  #network(name: Name): Network {
    const known = this.#networks.get(name);
    if (known !== undefined) return known;
    this.setNetwork({ network: name, prefixes: [], gateways: [], visible: [] });
    return this.#network(name);
  }

  #remove(network: Network, name: string): void {
    const guest = network.guests.get(name);
    if (guest === undefined) return;
    network.guests.delete(name);
    this.#dropGuest(network, guest);
    this.#serial++;
  }

  #add(network: Network, record: Named): Guest {
    const name = network.zone.network;
    const guest: Guest = {
      record,
      labels: [...new Set([record.guest, ...(record.aliases ?? []), ...projectLabels(record)])],
      reverse: record.addresses.map(reverseName),
      pointer: { network: name, target: nameToBytes(this.#fullName(record.guest, name)) },
    };
    for (const label of guest.labels) {
      const holders = network.names.get(label) ?? { guests: new Set(), entry: entryOf(name, []) };
      holders.guests.add(guest);
      network.names.set(label, holders);
      this.#publish(network, label, holders);
    }
    for (const reverse of guest.reverse) addTo(this.#pointers, reverse, guest.pointer);
    return guest;
  }

  #dropGuest(network: Network, guest: Guest): void {
    dropFrom(this.#homes, guest.record.guest, network.zone.network);
    for (const address of guest.record.addresses) this.#owners.delete(address);
    this.#drop(network, guest);
  }

  #seenBy(from: Name, client: string | undefined): Set<string> | undefined {
    const sees = this.#networks.get(from)?.sees;
    const homes = client === undefined ? undefined : this.#homes.get(this.#owners.get(client) ?? "");
    if (sees === undefined || homes === undefined || homes.size < 2) return sees;
    return new Set([...sees, ...[...homes].flatMap((home) => [...(this.#networks.get(home)?.sees ?? [])])]);
  }

  #drop(network: Network, guest: Guest): void {
    for (const label of guest.labels) {
      const holders = network.names.get(label);
      if (holders === undefined) continue;
      holders.guests.delete(guest);
      if (holders.guests.size === 0) network.names.delete(label);
      this.#publish(network, label, holders);
    }
    for (const reverse of guest.reverse) dropFrom(this.#pointers, reverse, guest.pointer);
  }

  /** Brings both indices to what the holders of a label say now. */
  #publish(network: Network, label: string, holders: Holders): void {
    const name = network.zone.network;
    const isOfProject = label.includes(".");
    const full = isOfProject ? undefined : this.#fullName(label, name);
    const short = isOfProject ? label.split(".").map(toLabel).join("") + this.#domain : toLabel(label);
    if (holders.guests.size === 0) {
      if (full !== undefined) this.#full.delete(full);
      const others = this.#short.get(short);
      others?.delete(name);
      if (others?.size === 0) this.#short.delete(short);
      return;
    }
    const guests = [...holders.guests];
    const chosen = label === gatewayName && guests.length > 1 ? guests.filter((guest) => guest !== network.gateway) : guests;
    holders.entry = entryOf(
      name,
      chosen.flatMap((guest) => guest.record.addresses),
    );
    if (full !== undefined) this.#full.set(full, holders.entry);
    const others = this.#short.get(short) ?? new Map<string, NameEntry>();
    others.set(name, holders.entry);
    this.#short.set(short, others);
  }

  #fullName(label: string, network: string): DnsName {
    return toLabel(label) + toLabel(network) + this.#domain;
  }

  #dropReverse(network: Network): void {
    for (const name of network.reverse) {
      const left = (this.#reverseZones.get(name) ?? 0) - 1;
      if (left > 0) this.#reverseZones.set(name, left);
      else this.#reverseZones.delete(name);
    }
    network.reverse = [];
  }
}

/** 255 less the root byte and two labels of 63. */
const maxDomainBytes = 255 - 1 - 2 * 64;
const gatewayName = "gateway";

const localhost = nameFromText("localhost");
const elsewhere: Found = { kind: "elsewhere" };
const plain: Found = { kind: "plain" };

function entryOf(network: string, addresses: readonly Ip[]): NameEntry {
  const unique = [...new Set(addresses)];
  const family = (wanted: 4 | 6) => unique.filter((address) => ipFamily(address) === wanted).map(ipToBytes);
  return { kind: "name", network, v4: family(4), v6: family(6) };
}

function sameRecord(a: Named, b: Named): boolean {
  const same = (x: readonly string[] = [], y: readonly string[] = []) => x.length === y.length && x.every((value, i) => value === y[i]);
  return same(a.addresses, b.addresses) && same(a.aliases, b.aliases) && same(projectLabels(a), projectLabels(b));
}

/** No label of a name has a dot, so it stands apart from them. */
function projectLabels({ project }: Named): string[] {
  return project === undefined ? [] : [`${project.service}.${project.name}`];
}

function toLabel(name: string): DnsName {
  return String.fromCharCode(name.length) + name;
}

function addTo<K, V>(index: Map<K, Set<V>>, key: K, value: V): void {
  const values = index.get(key);
  if (values === undefined) index.set(key, new Set([value]));
  else values.add(value);
}

function dropFrom<K, V>(index: Map<K, Set<V>>, key: K, value: V): void {
  const values = index.get(key);
  values?.delete(value);
  if (values?.size === 0) index.delete(key);
}
