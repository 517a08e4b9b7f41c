import { NexusError } from "../base/errors.ts";
import type { Flag } from "./command.ts";
import type { VerbContext } from "./context.ts";

export type EgressInput = { mode: "none" | "allowlist" | "unrestricted"; allow: string[] };

const modes = ["none", "allowlist", "unrestricted"] as const;

export const egressFlags: readonly Flag[] = [
  {
    name: "egress",
    value: modes.join("|"),
    complete: [...modes],
    summary: "where guests may connect to outside: nowhere, --allow, or anywhere",
  },
  { name: "allow", value: "HOST:PORT", many: true, summary: "a name and port guests may connect to (*.HOST: all below it)" },
];

/** `--allow` alone means an allowlist. @throws NexusError usage */
export function egressOf(c: VerbContext): { egress?: EgressInput } {
  const allow = [...c.flags.many("allow")];
  const text = c.flags.text("egress") ?? (allow.length > 0 ? "allowlist" : undefined);
  if (text === undefined) return {};
  const mode = modes.find((one) => one === text);
  if (mode === undefined)
    throw new NexusError("usage", `--egress "${text}": it is none of ${modes.join(", ")}`, {
      hint: "write --egress allowlist --allow example.com:443",
    });
  return { egress: { mode, allow } };
}
