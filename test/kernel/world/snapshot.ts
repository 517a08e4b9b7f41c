import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** The network of this host and of named namespaces as other programs show it; what counts or numbers is left out. */
export function snapshot(namespaces: readonly string[], sysctls: readonly string[] = []): Record<string, unknown> {
  return {
    host: linksOf(),
    ...Object.fromEntries(namespaces.map((name) => [name, namespaceExists(name) ? { links: linksOf(name), routes: [...routesOf(name, "-4"), ...routesOf(name, "-6")] } : "absent"])),
    ruleset: ruleset(),
    sysctls: sysctls.map((path) => `${path}=${readSetting(path)}`),
  };
}

function linksOf(netns?: string): Record<string, unknown> {
  const at = netns === undefined ? [] : ["-n", netns];
  const addresses = new Map<unknown, string[]>();
  for (const link of json("ip", [...at, "-j", "address"])) {
    const global = (link["addr_info"] ?? []).filter((a: Record<string, unknown>) => a["scope"] === "global");
    addresses.set(link["ifname"], global.map((a: Record<string, unknown>) => `${String(a["local"])}/${String(a["prefixlen"])}`).toSorted());
  }
  return Object.fromEntries(
    json("ip", [...at, "-j", "-d", "link"])
      .map((link) => {
        const { info_kind, info_data, info_slave_data } = link["linkinfo"] ?? {};
        const bridge = info_kind === "bridge" ? [info_data.stp_state, info_data.forward_delay] : undefined;
        const port = info_slave_data === undefined ? undefined : [info_slave_data.isolated, info_slave_data.hairpin];
        const up = (link["flags"] as string[]).includes("UP");
        const { address, mtu, group, master, altnames, inet6_addr_gen_mode: generation } = link;
        return [String(link["ifname"]), { kind: info_kind, up, address, mtu, group, master, altnames, generation, bridge, port, addresses: addresses.get(link["ifname"]) }] as const;
      })
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function routesOf(netns: string, family: "-4" | "-6"): string[] {
  return json("ip", ["-n", netns, family, "-j", "route"])
    .map((route) => `${String(route["dst"])} ${String(route["gateway"] ?? "")} ${String(route["dev"])} ${String(route["protocol"])}`)
    .filter((route) => !route.startsWith("fe80"))
    .toSorted();
}

/** Tables, chains, rules, sets and their elements without handles and counts. */
function ruleset(): string[] {
  const listed = (JSON.parse(run("nft", ["-j", "list", "ruleset"])) as { nftables: unknown[] }).nftables;
  const plain = JSON.stringify(listed, (key, value: unknown) => {
    if (["handle", "metainfo", "packets", "bytes", "flags"].includes(key)) return undefined;
    return key === "elem" && Array.isArray(value) ? value.map((v) => JSON.stringify(v)).toSorted() : value;
  });
  return (JSON.parse(plain) as unknown[]).map((item) => JSON.stringify(item));
}

function namespaceExists(name: string): boolean {
  return json("ip", ["-j", "netns", "list"]).some((n) => n["name"] === name);
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
