import type { CtKey, MetaKey, PayloadBase } from "./fields.ts";
import type { Verdict } from "./model.ts";

/**
 * The virtual machine's instructions (uapi nf_tables.h), decoded. `dreg` and `sreg` are register numbers as the kernel prints them:
 * 1-4 for the 16-byte registers, 8-23 for 4-byte ones; 0 is the verdict. See register.ts.
 */
export type Expression =
  | { kind: "payload"; base: PayloadBase; offset: number; length: number; dreg: number }
  | { kind: "meta"; key: MetaKey; dreg: number }
  | { kind: "meta-set"; key: MetaKey; sreg: number }
  | { kind: "ct"; key: CtKey; dreg: number }
  | { kind: "ct-set"; key: CtKey; sreg: number }
  | { kind: "fib-type"; of: "saddr" | "daddr"; dreg: number }
  | { kind: "cmp"; op: CmpOp; sreg: number; data: Uint8Array }
  | { kind: "range"; op: "eq" | "neq"; sreg: number; from: Uint8Array; to: Uint8Array }
  | { kind: "bitwise"; sreg: number; dreg: number; mask: Uint8Array; xor: Uint8Array }
  | { kind: "lookup"; set: string; setId?: number; sreg: number; dreg?: number; invert: boolean }
  | { kind: "immediate"; dreg: number; data: Uint8Array }
  | { kind: "verdict"; verdict: Verdict }
  | { kind: "nat"; type: "snat" | "dnat"; family: "ip" | "ip6"; address?: number; port?: number; flags: number }
  | { kind: "masquerade"; portMin?: number; portMax?: number; flags: number }
  | { kind: "reject"; type: "icmp" | "tcp-reset" | "icmpx"; code: number }
  | { kind: "counter"; packets: bigint; bytes: bigint }
  | { kind: "objref"; object: "counter"; name: string }
  | { kind: "objref-map"; set: string; setId?: number; sreg: number }
  | { kind: "log"; prefix: string }
  | { kind: "limit"; rate: bigint; unit: bigint; burst: number }
  /** An instruction of other programs' rules; its attributes are kept as they came. */
  | { kind: "unknown"; name: string; data: Uint8Array };

export type CmpOp = "eq" | "neq" | "lt" | "lte" | "gt" | "gte";

/** NF_NAT_RANGE_* (uapi nf_nat.h). */
export const natFlags = { portsGiven: 2, random: 4, fullyRandom: 16 } as const;
