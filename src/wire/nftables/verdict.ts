import { attributeTable, type DecodedOf, type InputOf } from "../netlink/attributes.ts";
import { be32, string } from "../netlink/codecs.ts";
import { oneOf } from "./codec.ts";
import type { Verdict } from "./model.ts";

/** NF_DROP, NF_ACCEPT and NFT_* as unsigned numbers. */
const codes = { drop: 0, accept: 1, return: 0xfffffffb, goto: 0xfffffffc, jump: 0xfffffffd } as const;

export const verdictAttributes = attributeTable({
  code: { number: 1, codec: oneOf(be32, codes), meaning: "what happens to the packet" },
  chain: { number: 2, codec: string, meaning: "where a jump or goto leads" },
});

export function verdictInput(verdict: Verdict): InputOf<typeof verdictAttributes> {
  return verdict.kind === "jump" || verdict.kind === "goto" ? { code: verdict.kind, chain: verdict.chain } : { code: verdict.kind };
}

/** Undefined for verdicts the model has no word for: continue, break, queue. */
export function verdictOf(attributes: DecodedOf<typeof verdictAttributes>): Verdict | undefined {
  const { code, chain } = attributes;
  if (code === undefined) return undefined;
  if (code !== "jump" && code !== "goto") return { kind: code };
  return chain === undefined ? undefined : { kind: code, chain };
}
