import type { HostName } from "../base/host-name.ts";
import { type EgressPolicy, egressPolicy, type EgressRule } from "./egress.ts";
import { check, type FoundProblem } from "./problems.ts";

/** Where this run stands: the domain of this host's guests, and the compose project it is of. */
type Home = { domain: string; project: string | undefined };

/**
 * The policy of a run. A rule for the very name of a guest opens that guest at its port; one for all names below a domain never does.
 * `db:5432` is service `db` of the run's own project, which may then be asked for as `db` and by its full name.
 */
export function runPolicy(
  { mode, allow }: { mode: EgressPolicy["mode"]; allow: readonly string[] },
  { domain, project }: Home,
): { value: EgressPolicy } | { problems: FoundProblem[] } {
  const whole = allow.map((text) => (project === undefined ? undefined : wholeRule(text, `${project}.${domain}`)));
  const checked = check(egressPolicy, { mode, allow: allow.map((text, i) => whole[i] ?? text) });
  if ("problems" in checked) return checked;
  const rules = checked.value.allow.flatMap((rule, i): EgressRule[] => {
    if (rule.subdomains || !rule.host.endsWith(`.${domain}`)) return [rule];
    const opening = { ...rule, guest: rule.host };
    const service = rule.host.slice(0, rule.host.indexOf(".")) as HostName;
    return whole[i] === undefined ? [opening] : [opening, { ...opening, host: service }];
  });
  return { value: { mode, allow: rules } };
}

/** A rule that names a service alone, with the rest of the name put behind it; undefined for every other. */
export function wholeRule(text: string, rest: string): string | undefined {
  const service = /^[^.:*/]+(?=:\d)/.exec(text)?.[0];
  return service === undefined ? undefined : `${service}.${rest}${text.slice(service.length)}`;
}
