import { Firewall } from "../../kernel/firewall.ts";
import type { Fd } from "../../sys/fd.ts";
import { loadModule } from "./modules.ts";
import { type Check, type Scratch, skipped } from "./report.ts";

type Change = Parameters<Firewall["apply"]>[1][number];
type Table = Extract<Change, { kind: "add-table" }>["table"];

/** The kernel answers on the nf_tables socket, and takes a table. */
export const nfTables: Check = {
  name: "nf-tables",
  needed: true,
  probe(_context, scratch) {
    if ("refusal" in scratch) return skipped(scratch);
    const refusal = tryTable(scratch, { family: "inet" });
    if (refusal === undefined) return { ok: "ok", detail: "nf_tables takes tables" };
    return {
      ok: "fail",
      detail: `nf_tables does not work: ${refusal}`,
      remedy: "modprobe nf_tables, as root",
      fix: () => loadModule("nf_tables"),
    };
  },
};

/** What the ruleset is made of, each thing in a table of its own; the first one tells of older kernels. */
export const nfTablesFeatures: Check = {
  name: "nf-tables-features",
  needed: true,
  probe(_context, scratch) {
    if ("refusal" in scratch) return skipped(scratch);
    const missing = features.flatMap(({ name, module, table }) => {
      const refusal = tryTable(scratch, table);
      return refusal === undefined ? [] : [{ name, module, refusal }];
    });
    const [first] = missing;
    if (first !== undefined) {
      const detail = `missing: ${missing.map(({ name, refusal }) => `${name} (${refusal})`).join("; ")}`;
      const modules = missing.map(({ module }) => module);
      return {
        ok: "fail",
        detail,
        remedy: `modprobe ${modules.join(" ")}, or boot a kernel that has them`,
        fix: () => modules.map(loadModule).join("; "),
      };
    }
    const present = features.map(({ name }) => name).join(", ");
    if (ownsTables(scratch.netns)) return { ok: "ok", detail: `${present}; tables protected from a foreign flush (owner, persist)` };
    const detail = `${present}; no protected tables (owner and persist need Linux 6.9): a foreign \`nft flush ruleset\` opens a gap until nexusd has rebuilt its own`;
    return { ok: "warn", detail, remedy: "boot Linux 6.9 or newer" };
  },
};

const features: readonly { name: string; module: string; table: Partial<Table> & Pick<Table, "family"> }[] = [
  {
    name: "inet nat",
    module: "nft_chain_nat",
    table: {
      family: "inet",
      chains: [
        {
          name: "c",
          base: { type: "nat", hook: "postrouting", priority: 100, policy: "accept" },
          rules: [{ id: "r", statements: [{ kind: "masquerade" }] }],
        },
      ],
    },
  },
  {
    name: "concatenated intervals",
    module: "nf_tables_set",
    table: { family: "inet", sets: [{ name: "s", key: ["inet_proto", "inet_service"], interval: true }] },
  },
  {
    name: "maps to addresses and ports",
    module: "nft_nat",
    table: {
      family: "inet",
      sets: [{ name: "m", key: ["inet_proto", "inet_service"], data: ["ipv4_addr", "inet_service"], interval: false }],
    },
  },
  {
    name: "maps to counters",
    module: "nft_objref",
    table: { family: "inet", counters: ["n"], sets: [{ name: "m", key: ["ifname"], data: "counter", interval: false }] },
  },
  {
    name: "fib",
    module: "nft_fib_inet",
    table: {
      family: "inet",
      chains: [
        {
          name: "c",
          base: { type: "filter", hook: "prerouting", priority: 0, policy: "accept" },
          rules: [{ id: "r", statements: [{ kind: "match", field: "fib daddr type", op: "==", value: "local" }, { kind: "count" }] }],
        },
      ],
    },
  },
  {
    name: "connection tracking",
    module: "nft_ct",
    table: {
      family: "inet",
      chains: [
        {
          name: "c",
          base: { type: "filter", hook: "forward", priority: 0, policy: "accept" },
          rules: [{ id: "r", statements: [{ kind: "match", field: "ct status", op: "==", value: "dnat" }, { kind: "count" }] }],
        },
      ],
    },
  },
  {
    name: "reject",
    module: "nft_reject_inet",
    table: {
      family: "inet",
      chains: [
        {
          name: "c",
          base: { type: "filter", hook: "forward", priority: 0, policy: "accept" },
          rules: [{ id: "r", statements: [{ kind: "reject", with: "icmpx-admin-prohibited" }] }],
        },
      ],
    },
  },
  {
    name: "bridge family",
    module: "nf_tables",
    table: {
      family: "bridge",
      chains: [
        {
          name: "c",
          base: { type: "filter", hook: "prerouting", priority: -300, policy: "accept" },
          rules: [{ id: "r", statements: [{ kind: "match", field: "ether type", op: "==", value: 0x0806 }, { kind: "count" }] }],
        },
      ],
    },
  },
];

/** Makes a table and deletes it; the kernel's words when it refuses. */
function tryTable(scratch: Extract<Scratch, { netns: unknown }>, part: Partial<Table> & Pick<Table, "family">): string | undefined {
  const table: Table = { name: "nexus-doctor", comment: "", chains: [], sets: [], counters: [], ...part };
  try {
    using firewall = Firewall.open({ netns: scratch.netns, ownership: "none" });
    firewall.apply("try nf_tables", [{ kind: "add-table", table }]);
    firewall.apply("try nf_tables", [{ kind: "delete-table", family: table.family, name: table.name }]);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function ownsTables(netns: Fd): boolean {
  using firewall = Firewall.open({ netns, ownership: "probe" });
  return firewall.features.ownerPersist;
}
