import type { IfName } from "../../src/base/names.ts";
import { diffTable } from "../../src/plan/firewall-diff.ts";
import { ruleset } from "../../src/plan/firewall/ruleset.ts";
import type { Observed } from "../../src/plan/observed.ts";
import { plan } from "../../src/plan/plan.ts";
import type { Step } from "../../src/plan/steps.ts";
import { KernelModel } from "./kernel-model.ts";
import { sample } from "./sample.ts";

/** All that it takes to make the sample on a host where nothing is: what `nexus plan` would print there. */
export function sampleSteps(observed: Observed = bareHost()): Step[] {
  const wanted = sample();
  const { networks, attachments } = plan(wanted, observed);
  const { tables, elements } = ruleset(wanted);
  const changes = tables.flatMap((table) =>
    diffTable(
      table,
      new Map(table.sets.map((set) => [set.name, elements.get(`${table.family} ${table.name} ${set.name}`) ?? []])),
      undefined,
    ),
  );
  return [...networks, { kind: "firewall", op: "make the ruleset", changes, undo: [] }, ...attachments];
}

/** As a fresh network namespace is: no link, forwarding off, and the defaults of bridges to come. */
function bareHost(): Observed {
  return new KernelModel().observe(sample(), { routerAdvertLinks: [] satisfies IfName[] });
}
