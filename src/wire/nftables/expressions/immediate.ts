import { attributeTable } from "../../netlink/attributes.ts";
import { bytes } from "../../netlink/codecs.ts";
import { nested } from "../../netlink/nesting.ts";
import { expressionCodec, register } from "../codec.ts";
import { verdictAttributes, verdictInput, verdictOf } from "../verdict.ts";

const dataOrVerdict = attributeTable({
  value: { number: 1, codec: bytes, meaning: "register contents" },
  verdict: { number: 2, codec: nested(verdictAttributes), meaning: "verdict, for register 0" },
});

/** NFTA_IMMEDIATE_*. */
const table = attributeTable({
  dreg: { number: 1, codec: register, meaning: "register written; 0 is the verdict" },
  data: { number: 2, codec: nested(dataOrVerdict), meaning: "constant" },
});

export const immediate = expressionCodec("immediate", table, {
  encode(e) {
    if (e.kind === "immediate") return { dreg: e.dreg, data: { value: e.data } };
    return e.kind === "verdict" ? { dreg: 0, data: { verdict: verdictInput(e.verdict) } } : undefined;
  },
  decode({ dreg, data }) {
    if (dreg === undefined || data === undefined) return undefined;
    if (data.value !== undefined) return { kind: "immediate", dreg, data: data.value };
    const verdict = data.verdict === undefined || dreg !== 0 ? undefined : verdictOf(data.verdict);
    return verdict === undefined ? undefined : { kind: "verdict", verdict };
  },
});
