import type { CloudFile, CloudInit } from "./cloud-init.ts";
import { provisionCommand, provisionFiles } from "./cloud-scripts.ts";

/** What Nexus itself asks of cloud-init, as a cloud-config. Nobody can log in by password unless the user's own data says so. */
export function cloudConfig(wish: CloudInit): Record<string, unknown> {
  const { user, hostKey, authorizedKeys = [], packages = [] } = wish;
  return {
    hostname: wish.hostname,
    ...(wish.fqdn === undefined ? {} : { fqdn: wish.fqdn }),
    preserve_hostname: false,
    manage_etc_hosts: "localhost",
    disable_root: true,
    ssh_pwauth: false,
    // The rest of that user is as the image has its own.
    ...(user === undefined ? {} : { user: { name: user, lock_passwd: true } }),
    ...(authorizedKeys.length === 0 ? {} : { ssh_authorized_keys: [...authorizedKeys] }),
    ...(hostKey === undefined ? {} : { ssh_keys: { ed25519_private: hostKey.privateKey, ed25519_public: hostKey.publicLine } }),
    ...(packages.length === 0 ? {} : { package_update: true, packages: [...packages] }),
    write_files: [...(wish.files ?? []), ...provisionFiles(wish)].map(writeFile),
    runcmd: [provisionCommand],
  };
}

function writeFile(file: CloudFile): Record<string, unknown> {
  const { content } = file;
  const text =
    typeof content === "string" && isPlain(content)
      ? { content }
      : { encoding: "b64", content: Buffer.from(content as string).toString("base64") };
  const owner = file.owner ?? "root:root";
  return {
    path: file.path,
    permissions: (file.mode ?? "0644").padStart(4, "0"),
    owner,
    // Other users are only there later.
    ...(/^root(:root)?$/.test(owner) ? {} : { defer: true }),
    ...text,
  };
}

/** What YAML can hold as it is. */
function isPlain(text: string): boolean {
  return /^[\t\n\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]*$/.test(text) && !/[\u2028\u2029\ufeff]/.test(text);
}
