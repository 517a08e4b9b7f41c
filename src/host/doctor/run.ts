import { NexusError } from "../../base/errors.ts";
import { mayAdministerNetworks } from "../../kernel/rights.ts";
import { isErrno } from "../../sys/errno.ts";
import { inNewNetns, ownNetns } from "../../sys/netns.ts";
import { bubblewrap, bubblewrapLinks } from "./bubblewrap.ts";
import { cgroups } from "./cgroups.ts";
import { connectionTracking } from "./connection-tracking.ts";
import { bridgeNetfilter, ipForward } from "./forwarding.ts";
import { forwardPolicy } from "./forward-policy.ts";
import { linkKinds } from "./link-kinds.ts";
import { nfTables, nfTablesFeatures } from "./nf-tables.ts";
import { otherDaemon } from "./other-daemon.ts";
import { ownDaemon } from "./own-daemon.ts";
import { overlay } from "./overlay.ts";
import { namespaces, netAdmin } from "./privileges.ts";
import { type Check, type CheckResult, type DoctorContext, type DoctorReport, type Finding, runAsRoot, type Scratch } from "./report.ts";
import { runtime } from "./runtime.ts";
import { delegation, podman, sandboxRoot, seccomp, socketPath, untrustedSandbox } from "./sandboxes.ts";
import { stateDirectory } from "./state-directory.ts";
import { subnets } from "./subnets.ts";
import { virtualMachines } from "./virtual-machines.ts";
import { tap } from "./tap.ts";
import { apparmorUserNamespaces, userNamespaces } from "./user-namespaces.ts";

/** In the order in which one depends on another: the first broken one is usually the cause of the rest. */
export const checks: readonly Check[] = [
  netAdmin,
  namespaces,
  linkKinds,
  tap,
  nfTables,
  nfTablesFeatures,
  forwardPolicy,
  subnets,
  ipForward,
  bridgeNetfilter,
  connectionTracking,
  cgroups,
  runtime,
  overlay,
  virtualMachines,
  userNamespaces,
  apparmorUserNamespaces,
  seccomp,
  bubblewrap,
  bubblewrapLinks,
  sandboxRoot,
  untrustedSandbox,
  podman,
  stateDirectory,
  socketPath,
  otherDaemon,
];

/** For a user's own daemon. */
const ownChecks: readonly Check[] = [
  ownDaemon,
  { ...virtualMachines, needed: true },
  userNamespaces,
  apparmorUserNamespaces,
  seccomp,
  bubblewrap,
  bubblewrapLinks,
  sandboxRoot,
  delegation,
  untrustedSandbox,
  stateDirectory,
  socketPath,
  otherDaemon,
];

const probeDeadlineMs = 20_000;

/** Examines this host by doing. Without `fix` nothing outside of throw-away namespaces and files is changed. Never throws for a broken host. */
export async function runDoctor(context: DoctorContext, options: { fix?: boolean; only?: readonly string[] } = {}): Promise<DoctorReport> {
  using scratch = makeScratch();
  const results: CheckResult[] = [];
  const mayAll = context.user !== undefined || (process.getuid?.() === 0 && mayAdministerNetworks());
  for (const check of context.user === undefined ? checks : ownChecks) {
    if (options.only !== undefined && !options.only.includes(check.name)) continue;
    const result = await examine(check, { context, scratch, fix: options.fix === true });
    // Where the right is missing, nothing else would help.
    results.push(mayAll || !isRefusal(result) ? result : { ...result, remedy: runAsRoot });
  }
  return { ok: !results.some((result) => result.needed && result.ok === "fail"), checks: results };
}

async function examine(check: Check, visit: { context: DoctorContext; scratch: Scratch; fix: boolean }): Promise<CheckResult> {
  const found = await probe(check, visit);
  if (!visit.fix || found.fix === undefined) return resultOf(check, found);
  try {
    const fixed = found.fix();
    return { ...resultOf(check, await probe(check, visit)), fixed };
  } catch (error) {
    return { ...resultOf(check, found), detail: `${found.detail}; the fix failed: ${sentence(error)}` };
  }
}

async function probe(check: Check, visit: { context: DoctorContext; scratch: Scratch }): Promise<Finding> {
  const late = Promise.withResolvers<Finding>();
  const timer = setTimeout(() => late.resolve({ ok: "fail", detail: `no answer within ${probeDeadlineMs / 1000} s` }), probeDeadlineMs);
  try {
    return await Promise.race([check.probe(visit.context, visit.scratch), late.promise]);
  } catch (error) {
    const right = isErrno(error, "EPERM", "EACCES") ? runAsRoot : undefined;
    const hint = error instanceof NexusError ? (error.hint ?? right) : undefined;
    return { ok: "fail", detail: sentence(error), ...(hint === undefined ? {} : { remedy: hint }) };
  } finally {
    clearTimeout(timer);
  }
}

function resultOf(check: Check, found: Finding): CheckResult {
  const remedy = found.ok === "ok" || found.remedy === undefined ? {} : { remedy: found.remedy };
  return { name: check.name, ok: found.ok, needed: check.needed, detail: found.detail, ...remedy };
}

/** For want of a right, with a remedy for something else. */
function isRefusal({ ok, detail, remedy }: CheckResult): boolean {
  return (
    ok === "fail" && remedy?.includes(runAsRoot) !== true && /EPERM|EACCES|[Oo]peration not permitted|[Pp]ermission denied/.test(detail)
  );
}

function makeScratch(): Scratch & Disposable {
  try {
    const netns = inNewNetns(ownNetns);
    return { netns, [Symbol.dispose]: () => netns[Symbol.dispose]() };
  } catch (error) {
    return { refusal: sentence(error), [Symbol.dispose]() {} };
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
