import { SpecError, type SpecProblem } from "../base/errors.ts";
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
    want(
      `files[${i}].mode`,
      file.mode === undefined || /^[0-7]{3,4}$/.test(file.mode),
      `"${file.mode}" is no mode`,
      "three or four octal digits",
    );
    want(
      `files[${i}].owner`,
      file.owner === undefined || /^[a-z_][\w-]*(:[a-z_][\w-]*)?$/.test(file.owner),
      `"${file.owner}" is no owner`,
      "user or user:group",
    );
  });
  wish.mounts?.forEach((mount, i) => {
    want(`mounts[${i}].target`, isPath(mount.target), `"${mount.target}" is no absolute path of a directory`);
    const name = mount.kind === "share" ? mount.tag : mount.name;
    want(`mounts[${i}].${mount.kind === "share" ? "tag" : "name"}`, /^[A-Za-z0-9][A-Za-z0-9._-]{0,30}$/.test(name), `"${name}" is no name`);
    const same = wish.mounts?.findIndex((other) => other.target === mount.target) ?? i;
    want(`mounts[${i}].target`, same === i, `mounts[${same}] is there already`);
  });
  wish.provision?.forEach((text, i) =>
    want(`provision[${i}]`, text.trim() !== "" && !text.includes("\0"), "is empty, or has a zero byte in it"),
  );
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
  /^[^\0-\x1f\x7f]*?\b(ssh-(ed25519|rsa)|ecdsa-sha2-[a-z0-9]+|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]{20,}={0,2}( [^\0-\x1f\x7f]*)?$/;

function isPath(path: string): boolean {
  return /^\/[^\0-\x1f\x7f]{1,4094}$/.test(path) && !path.split("/").includes("..");
}
