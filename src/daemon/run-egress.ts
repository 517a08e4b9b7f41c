import { NexusError, SpecError } from "../base/errors.ts";
import type { Ip } from "../base/ip.ts";
import type { Log } from "../base/log.ts";
import { prefixContains } from "../base/prefix.ts";
import type { SandboxEgress } from "../guests/sandbox.ts";
import { runPolicy } from "../spec/run-policy.ts";
import type { RunSpec } from "../spec/run.ts";
import type { RunView } from "../spec/run-view.ts";
import type { OwnAddresses } from "../services/egress/decide.ts";
import { createEgressProxy } from "../services/egress/proxy.ts";
import { hostAddresses } from "../services/egress/own-addresses.ts";
import type { EgressResolver, GuestAddresses } from "../services/egress/run.ts";
import { AuditFile } from "./audit-file.ts";
import type { World } from "./world.ts";

/** The way out of one run, open. */
export type RunEgress = {
  sandbox: Extract<SandboxEgress, { kind: "proxy" }>;
  figures(): NonNullable<RunView["egress"]>;
  /** Ends its connections; every judgement is in the audit file then. */
  close(): Promise<void>;
};

export type EgressAsked = {
  run: string;
  mode: "allowlist" | "unrestricted";
  allow: RunSpec["net"]["allow"];
  /** The compose project it is of. */
  project: string | undefined;
  /** One JSON line for each connection judged. */
  auditFile: string;
};

/** The port on the sandbox's own loopback; nothing else is there yet when it opens. */
const proxyPort = 9080;

/** This host's addresses, and those of its networks, whose guests a run could else reach by the host. */
export function ownAndNetworks(world: Pick<World, "networks">): OwnAddresses {
  const host = hostAddresses();
  const isOfNetwork = (address: Ip) =>
    world.networks.values().some(({ subnets }) => subnets.some(({ prefix }) => prefixContains(prefix, address)));
  return { has: (address) => isOfNetwork(address) || host.has(address) };
}

/** A proxy of the run's own, whose connections are its by the socket they come from. @throws SpecError with every rule that is none */
export function openRunEgress(
  asked: EgressAsked,
  { domain, ...from }: { resolver: EgressResolver; ownAddresses: OwnAddresses; domain: string; guests: GuestAddresses; log: Log },
): RunEgress {
  const policy = policyOf(asked, domain);
  const audit = new AuditFile(asked.auditFile);
  const proxy = createEgressProxy({ run: asked.run, policy, audit: (record) => audit.write(record), ...from });
  return {
    sandbox: { kind: "proxy", port: proxyPort, serve: (connection) => proxy.serve(connection) },
    figures() {
      const { allowed, denied } = proxy.figures();
      const sum = { allowed, denied: Object.values(denied).reduce((total, count) => total + count, 0) };
      return audit.left === 0 ? sum : { ...sum, unwritten: audit.left };
    },
    async close() {
      proxy.close();
      await audit.close();
      if (audit.problem !== undefined)
        throw new NexusError("internal", `not every judgement of run ${asked.run} could be written down: ${audit.problem}`);
    },
  };
}

function policyOf({ mode, allow, project }: EgressAsked, domain: string) {
  const checked = runPolicy({ mode, allow }, { domain, project });
  if ("value" in checked) return checked.value;
  throw new SpecError(
    checked.problems.map(({ path, problem, hint }) => ({ path: `net.${path}`, problem, ...(hint === undefined ? {} : { hint }) })),
  );
}
