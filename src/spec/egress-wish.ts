import { egressPolicy, type EgressPolicy, type EgressRuleText } from "./egress.ts";

/** A policy as it is kept and sent: its rules as texts in their one form, so that reading it again gives the same. */
export type EgressWish = { mode: EgressPolicy["mode"]; allow: EgressRuleText[] };

export const egressWish = egressPolicy.transform(({ mode, allow }): EgressWish => ({ mode, allow: allow.map((rule) => rule.text) }));

/** As a spec has it: unrestricted is no policy at all. */
export const keptEgress = egressWish.transform((wish) => kept(wish)).optional();

export function kept(wish: EgressWish | undefined): EgressWish | undefined {
  return wish?.mode === "unrestricted" ? undefined : wish;
}

/** What takes a policy back, in a change. */
export const noEgress: EgressWish = { mode: "unrestricted", allow: [] };
