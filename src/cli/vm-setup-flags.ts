import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { VerbContext } from "./context.ts";
import { NexusError } from "../base/errors.ts";
import type { VmSpecInput } from "../spec/vm.ts";
import { ownSshKey, publicKeysOf } from "./ssh/own-keys.ts";

/** What a virtual machine is set up with, by the flags of `vm create`: the caller's own SSH key unless told not to. `mini` has no SSH. */
export function setupFlagsOf(c: VerbContext, image: string | undefined): VmSpecInput["setup"] {
  const { flags } = c;
  const isMini = image === undefined || image === "mini";
  const own = isMini || flags.on("no-ssh-key") ? [] : [ownSshKey(c.io).publicLine];
  const authorizedKeys = [...own, ...flags.many("ssh-key").flatMap(publicKeysOf)];
  const provision = flags.many("provision").map((file) => ({ kind: "shell" as const, script: textOf(file) }));
  const userData = flags.text("user-data");
  const user = flags.text("user");
  if (isMini && authorizedKeys.length + provision.length === 0 && userData === undefined && user === undefined) return undefined;
  return {
    authorizedKeys,
    provision,
    ...(userData === undefined ? {} : { userData: textOf(userData) }),
    ...(user === undefined ? {} : { user }),
  };
}

/** @throws NexusError not-found, usage */
function textOf(file: string): string {
  const path = resolve(file);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new NexusError("not-found", `there is no file ${path}`);
  if (!stat.isFile() || stat.size > largestFile) throw new NexusError("usage", `${path} is no file of at most ${largestFile / 1024} KiB`);
  return readFileSync(path, "utf8");
}

const largestFile = 512 * 1024;
