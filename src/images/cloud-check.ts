import { SpecError, type SpecProblem } from "../base/errors.ts";
import { unreachable } from "../base/exhaustive.ts";
import type { CloudInit } from "./cloud-init.ts";

/** Looks at what a guest is asked to become. @throws SpecError with every fault at once */
export function checkCloudInit(wish: CloudInit): void {
  const problems: SpecProblem[] = [];
  const want = (path: string, holds: boolean, problem: string, hint?: string): void => {
    if (!holds) problems.push({ path, problem, ...(hint === undefined ? {} : { hint }) });
  };
  want("hostname", /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(wish.hostname), `"${wish.hostname}" is no host name`);
  want("fqdn", wish.fqdn === undefined || /^[A-Za-z0-9.-]{1,253}$/.test(wish.fqdn), `"${wish.fqdn}" is no domain name`);
  want("user", wish.user === undefined || /^[a-z_][a-z0-9_-]{0,30}$/.test(wish.user), `"${wish.user}" is no user name`);
  want("user", wish.user !== "root", "root does not log in", "leave it out, or choose another name");
  wish.authorizedKeys?.forEach((key, i) =>
    want(`authorized_keys[${i}]`, publicKey.test(key), "is no line of an authorized_keys file", "like ssh-ed25519 AAAA… name"),
  );
  wish.packages?.forEach((name, i) =>
    want(`packages[${i}]`, /^[A-Za-z0-9][A-Za-z0-9+._:=~*-]{0,199}$/.test(name), `"${name}" is no package name`),
  );
  for (const [name, value] of Object.entries(wish.environment ?? {})) {
    want(`environment.${name}`, /^[A-Za-z_][A-Za-z0-9_]*$/.test(name), "is no name of a variable");
    want(`environment.${name}`, !value.includes("\0"), "has a zero byte in it");
  }
  wish.files?.forEach((file, i) => {
    want(`files[${i}].path`, isPath(file.path), `"${file.path}" is no absolute path of a file`);
    want(`files[${i}].mode`, file.mode === undefined || mode.test(file.mode), `"${file.mode}" is no mode`, "three or four octal digits");
    want(
      `files[${i}].owner`,
      file.owner === undefined || /^[a-z_][\w-]*(:[a-z_][\w-]*)?$/.test(file.owner),
      `"${file.owner}" is no owner`,
      "user or user:group",
    );
  });
  wish.mounts?.forEach((mount, i) => {
    want(`mounts[${i}].target`, isPath(mount.target), `"${mount.target}" is no absolute path of a directory`);
    const name = "disk" in mount.from ? mount.from.disk : mount.from.share;
    want(`mounts[${i}].from`, /^[A-Za-z0-9][A-Za-z0-9._-]{0,30}$/.test(name), `"${name}" is no name of a disk or share`);
    want(`mounts[${i}].options`, /^[\w=.,:/@%+-]*$/.test(mount.options ?? ""), `"${mount.options}" are no options of mount(8)`);
    const same = wish.mounts?.findIndex((other) => other.target === mount.target) ?? i;
    want(`mounts[${i}].target`, same === i, `mounts[${same}] is there already`);
  });
  wish.provision?.forEach((step, i) => {
    switch (step.kind) {
      case "shell":
        return want(`provision[${i}]`, step.script.trim() !== "" && !step.script.includes("\0"), "is empty, or has a zero byte in it");
      case "file":
        want(`provision[${i}].target`, isPath(step.target), `"${step.target}" is no absolute path of a file`);
        return want(`provision[${i}].mode`, mode.test(step.mode), `"${step.mode}" is no mode`, "three or four octal digits");
      default:
        return unreachable(step);
    }
  });
  wish.nics?.forEach((nic, i) => {
    for (const key of ["name", "mac"] as const) {
      const same = wish.nics?.findIndex((other) => other[key] === nic[key]) ?? i;
      want(`nics[${i}].${key}`, same === i, `nics[${same}] has the same`);
    }
    for (const domain of nic.searchDomains ?? [])
      want(`nics[${i}].search`, /^[A-Za-z0-9._-]{1,253}$/.test(domain), `"${domain}" is no domain name`);
  });
  if (problems.length > 0) throw new SpecError(problems);
}

/** Options may stand before it (sshd(8), AUTHORIZED_KEYS FILE FORMAT). */
const publicKey =
  /^\P{Cc}*?\b(ssh-(ed25519|rsa)|ecdsa-sha2-[a-z0-9]+|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]{20,}={0,2}( \P{Cc}*)?$/u;

const mode = /^[0-7]{3,4}$/;

function isPath(path: string): boolean {
  return /^\/\P{Cc}{1,4094}$/u.test(path) && !path.split("/").includes("..");
}
