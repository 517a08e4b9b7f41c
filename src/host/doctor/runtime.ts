import type { Check, RuntimeProbe } from "./report.ts";

/** Which of the runtimes really runs a container here; names and versions say little. */
export const runtime: Check = {
  name: "oci-runtime",
  needed: true,
  async probe(context) {
    const probed = await context.probeRuntimes();
    const working = probed.filter((one) => one.works);
    const broken = probed.filter((one) => !one.works).map((one) => `${one.name} does not: ${one.problem ?? "no reason given"}`);
    const remedy = "apt-get install runc (works with every cgroup layout), or crun on a host with cgroup v2 alone";
    if (probed.length === 0) return { ok: "fail", detail: "neither runc nor crun is installed", remedy };
    if (working.length === 0) return { ok: "fail", detail: broken.join("; "), remedy };
    return { ok: "ok", detail: [`${working.map(named).join(" and ")} ran a container`, ...broken].join("; ") };
  },
};

/** Programs state their version in a sentence: `runc version 1.1.5+ds1`. */
function named(probe: RuntimeProbe): string {
  const number = /\d+\.\d\S*/.exec(probe.version ?? "")?.[0];
  return number === undefined ? probe.name : `${probe.name} (${number})`;
}
