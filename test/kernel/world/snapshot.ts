import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** The network of this host and of named namespaces as other programs show it, one line for each thing; what counts or numbers is left out. */
export function snapshot(namespaces: readonly string[], sysctls: readonly string[] = []): string[] {
  const settings = sysctls.map((path) => `${path} = ${readSetting(path)}`);
  return [...linksOf("host"), ...namespaces.flatMap(namespaceOf), ...ruleset(), ...settings].toSorted();
}

/** Only what differs is told: the whole would fill pages. */
export function assertSame(found: readonly string[], wanted: readonly string[], message: string): void {
  const differences = differencesOf(found, wanted);
  assert.equal(differences.length, 0, `${message}:\n${differences.join("\n")}`);
}

export function differencesOf(found: readonly string[], wanted: readonly string[]): string[] {
  const [has, had] = [new Set(found), new Set(wanted)];
  return [
    ...wanted.filter((line) => !has.has(line)).map((line) => `- ${line}`),
    ...found.filter((line) => !had.has(line)).map((line) => `+ ${line}`),
  ];
}

/** Of what `ip -j -d` prints, what is looked at. */
type Shown = {
  ifname: string;
  flags: string[];
  address?: string;
  mtu: number;
  group: string;
  master?: string;
  altnames?: string[];
  inet6_addr_gen_mode?: string;
  linkinfo?: {
    info_kind?: string;
    info_data?: { stp_state?: number; forward_delay?: number };
    info_slave_data?: { isolated?: boolean; hairpin?: boolean; learning?: boolean; flood?: boolean; group_fwd_mask?: string };
  };
};
type ShownAddresses = { ifname: string; addr_info: { local: string; prefixlen: number; scope: string }[] };
type ShownRoute = { dst: string; gateway?: string; dev: string; protocol: string };

function linksOf(label: string, at: readonly string[] = []): string[] {
  const addresses = new Map(
    json<ShownAddresses>([...at, "-j", "address"]).map(({ ifname, addr_info }) => [
      ifname,
      addr_info
        .filter((a) => a.scope === "global")
        .map((a) => `${a.local}/${a.prefixlen}`)
        .toSorted(),
    ]),
  );
  return json<Shown>([...at, "-j", "-d", "link"]).map((link) => {
    const { info_kind: kind, info_data: data, info_slave_data: port } = link.linkinfo ?? {};
    const bridge = kind === "bridge" ? { stp: data?.stp_state, delay: data?.forward_delay } : {};
    const { address, mtu, group, master, altnames, inet6_addr_gen_mode: generation } = link;
    const shown = { kind, up: link.flags.includes("UP"), address, mtu, group, master, altnames, generation, ...bridge };
    return `${label} ${link.ifname} ${JSON.stringify({ ...shown, isolated: port?.isolated, hairpin: port?.hairpin, learning: port?.learning, flood: port?.flood, groups: port?.group_fwd_mask, addresses: addresses.get(link.ifname) })}`;
  });
}

function namespaceOf(name: string): string[] {
  try {
    const at = ["-n", name];
    const routes = ["-4", "-6"].flatMap((family) => json<ShownRoute>([...at, family, "-j", "route"]));
    const shown = routes.map((r) => `${name} route ${r.dst} via ${r.gateway} dev ${r.dev} protocol ${r.protocol}`);
    return [...linksOf(name, at), ...shown.filter((line) => !line.includes("fe80::/64"))];
  } catch {
    return [`${name} is absent`];
  }
}

/** Tables, chains, rules in their order, sets and their elements, without handles and counts. */
function ruleset(): string[] {
  const listed = (JSON.parse(run("nft", ["-j", "list", "ruleset"])) as { nftables: Record<string, Record<string, unknown>>[] }).nftables;
  const positions = new Map<string, number>();
  return listed.flatMap((item) => {
    const [kind, body] = Object.entries(item)[0] ?? assert.fail();
    if (kind === "metainfo") return [];
    const { elem, ...rest } = body as { elem?: unknown[] };
    const plain = (value: unknown) =>
      JSON.stringify(value, (key, inner: unknown) => (["handle", "packets", "bytes", "index"].includes(key) ? undefined : inner));
    const chain = `${String(body["family"])} ${String(body["table"])} ${String(body["chain"])}`;
    const position = kind === "rule" ? (positions.get(chain) ?? 0) : undefined;
    if (position !== undefined) positions.set(chain, position + 1);
    const whole = `nft ${kind}${position === undefined ? "" : ` ${position}`} ${plain(rest)}`;
    return [
      whole,
      ...(elem ?? []).map((e) => `nft element of ${String(body["family"])} ${String(body["table"])} ${String(body["name"])} ${plain(e)}`),
    ];
  });
}

function readSetting(path: string): string {
  try {
    return readFileSync(`/proc/sys/${path}`, "utf8").trim();
  } catch {
    return "absent";
  }
}

function json<T>(args: readonly string[]): T[] {
  const out = run("ip", args);
  return out.trim() === "" ? [] : (JSON.parse(out) as T[]);
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 64 * 1024 * 1024 });
}
