import { NexusError } from "../base/errors.ts";
import type { SandboxDriver } from "../guests/sandbox.ts";
import type { RunProfile, RunSpec } from "../spec/run.ts";

/** Which drivers hold as much as a profile promises, the default first. */
const driversOf: Record<RunProfile, readonly string[]> = {
  untrusted: ["bubblewrap", "qemu"],
  trusted: ["oci", "podman"],
  host: ["host"],
  "darwin-automation": [],
};

/** The driver for a run. What is asked for and not there is refused: nothing weaker ever takes its place. @throws NexusError unsupported */
export function driverFor({ profile, driver }: Pick<RunSpec, "profile" | "driver">, drivers: readonly SandboxDriver[]): SandboxDriver {
  if (profile === "darwin-automation")
    throw new NexusError("unsupported", "profile darwin-automation runs AppleScript and Shortcuts of macOS; this host is Linux", {
      hint: "on Linux take profile untrusted, trusted or host",
    });
  const fit = driversOf[profile];
  if (driver !== undefined && !fit.includes(driver))
    throw new NexusError("unsupported", `profile ${profile} has no driver ${driver}`, {
      hint: `its drivers: ${fit.join(", ")}; it is never run by a weaker one`,
    });
  const wanted = driver ?? fit[0];
  const found = drivers.find(({ name }) => name === wanted);
  if (found === undefined)
    throw new NexusError("unsupported", `profile ${profile} needs the driver ${wanted}, which this Nexus does not have`, {
      hint: "nothing weaker is taken in its place",
    });
  return found;
}
