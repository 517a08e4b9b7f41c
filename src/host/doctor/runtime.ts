import type { Check } from "./report.ts";

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
    const works = working.map((one) => (one.version === undefined ? one.name : `${one.name} ${one.version}`)).join(", ");
    return { ok: "ok", detail: [`${works} ran a container`, ...broken].join("; ") };
  },
};
