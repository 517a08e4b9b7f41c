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
  return [...wanted.filter((line) => !has.has(line)).map((line) => `- ${line}`), ...found.filter((line) => !had.has(line)).map((line) => `+ ${line}`)];
}

function linksOf(label: string, at: readonly string[] = []): string[] {
  const addresses = new Map<unknown, string[]>();
  for (const link of json("ip", [...at, "-j", "address"])) {
    const global = (link["addr_info"] ?? []).filter((a: Record<string, unknown>) => a["scope"] === "global");
    addresses.set(link["ifname"], global.map((a: Record<string, unknown>) => `${String(a["local"])}/${String(a["prefixlen"])}`).toSorted());
  }
  return json("ip", [...at, "-j", "-d", "link"]).map((link) => {
    const { info_kind, info_data, info_slave_data } = link["linkinfo"] ?? {};
    const bridge = info_kind === "bridge" ? { stp: info_data.stp_state, delay: info_data.forward_delay } : {};
    const port = info_slave_data === undefined ? {} : { isolated: info_slave_data.isolated, hairpin: info_slave_data.hairpin };
    const up = (link["flags"] as string[]).includes("UP");
    const { address, mtu, group, master, altnames, inet6_addr_gen_mode: generation } = link;
    return `${label} ${String(link["ifname"])} ${JSON.stringify({ kind: info_kind, up, address, mtu, group, master, altnames, generation, ...bridge, ...port, addresses: addresses.get(link["ifname"]) })}`;
  });
}

function namespaceOf(name: string): string[] {
  try {
    const at = ["-n", name];
    const routes = ["-4", "-6"].flatMap((family) => json("ip", [...at, family, "-j", "route"]));
    const shown = routes.map((r) => `${name} route ${String(r["dst"])} via ${String(r["gateway"])} dev ${String(r["dev"])} protocol ${String(r["protocol"])}`);
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
    const plain = (value: unknown) => JSON.stringify(value, (key, inner: unknown) => (["handle", "packets", "bytes", "index"].includes(key) ? undefined : inner));
    const chain = `${String(body["family"])} ${String(body["table"])} ${String(body["chain"])}`;
    const position = kind === "rule" ? (positions.get(chain) ?? 0) : undefined;
    if (position !== undefined) positions.set(chain, position + 1);
    const whole = `nft ${kind}${position === undefined ? "" : ` ${position}`} ${plain(rest)}`;
    return [whole, ...(elem ?? []).map((e) => `nft element of ${String(body["family"])} ${String(body["table"])} ${String(body["name"])} ${plain(e)}`)];
  });
}

function readSetting(path: string): string {
  try {
    return readFileSync(`/proc/sys/${path}`, "utf8").trim();
  } catch {
    return "absent";
  }
}

function json(program: string, args: readonly string[]): Record<string, any>[] {
  const out = run(program, args);
  return out.trim() === "" ? [] : (JSON.parse(out) as Record<string, any>[]);
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 64 * 1024 * 1024 });
}
