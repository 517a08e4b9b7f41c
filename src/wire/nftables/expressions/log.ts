import { attributeTable } from "../../netlink/attributes.ts";
import { be32, string } from "../../netlink/codecs.ts";
import { expressionCodec } from "../codec.ts";

/** NFTA_LOG_*; the kernel reports level and flags although they were not given. */
const table = attributeTable({
  prefix: { number: 2, codec: string, meaning: "text before each line" },
  level: { number: 5, codec: be32, meaning: "syslog level" },
  flags: { number: 6, codec: be32, meaning: "NF_LOG_*: more details" },
});

/** LOG_WARNING, the kernel's choice. */
const defaultLevel = 4;

export const log = expressionCodec("log", table, {
  encode: (e) => (e.kind === "log" ? { prefix: e.prefix } : undefined),
  decode: ({ prefix, level, flags }) =>
    (level ?? defaultLevel) !== defaultLevel || (flags ?? 0) !== 0 ? undefined : { kind: "log", prefix: prefix ?? "" },
});
