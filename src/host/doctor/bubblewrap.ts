import { existsSync, mkdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { programPath, tryProgram } from "./program.ts";
import type { Check } from "./report.ts";
import { trialDirectory } from "./trial-directory.ts";

const missing = { ok: "fail", detail: "bubblewrap is not installed", remedy: "apt-get install bubblewrap" } as const;

/** The program, and that it does not run as root whoever calls it: then its faults would be the host's. */
export const bubblewrap: Check = {
  name: "bubblewrap",
  needed: false,
  async probe() {
    const path = programPath("bwrap");
    if (path === undefined) return missing;
    const { ok, said } = await tryProgram([path, "--version"]);
    if (!ok) return { ok: "fail", detail: `${path} does not run: ${said}`, remedy: "apt-get install --reinstall bubblewrap" };
    if ((statSync(path).mode & 0o4000) !== 0)
      return { ok: "fail", detail: `${path} is set-user-id root (${said}); Nexus refuses it`, remedy: `chmod u-s ${path}` };
    return { ok: "ok", detail: `${said}, ${path}` };
  },
};

/**
 * Whether bubblewrap, told to make a place below a directory a command can write, follows a link planted there to the host
 * (CVE-2026-87766). Distributions mend it without a new version, so it is tried, in a directory of our own.
 */
export const bubblewrapLinks: Check = {
  name: "bubblewrap-links",
  needed: false,
  async probe(context) {
    const path = programPath("bwrap");
    if (path === undefined) return { ok: "skip", detail: missing.detail };
    using place = trialDirectory(context.stateDirectory);
    const [workspace, outside] = [join(place.directory, "workspace"), join(place.directory, "outside")];
    for (const directory of [workspace, outside]) mkdirSync(directory);
    symlinkSync(`/oldroot${outside}`, join(workspace, "link"));
    const words = ["--unshare-user", "--ro-bind", "/", "/", "--tmpfs", "/mnt", "--bind", workspace, "/mnt/workspace"];
    const tried = await tryProgram([path, ...words, "--dir", "/mnt/workspace/link/made", "--", "true"]);
    if (existsSync(join(outside, "made")))
      return {
        ok: "warn",
        detail: "it follows links planted in a workspace out to the host (CVE-2026-87766); Nexus never mounts below a workspace, others do",
        remedy: "upgrade bubblewrap to 0.12, or to your distribution's mended version, for what else uses it",
      };
    return tried.ok || /symlink|link|Can't/i.test(tried.said)
      ? { ok: "ok", detail: "it follows no link planted in a workspace" }
      : { ok: "skip", detail: `could not be tried: ${tried.said}` };
  },
};
