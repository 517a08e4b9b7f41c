import { readFileSync } from "node:fs";
import { ordinaryUser, programPath, tryProgram } from "./program.ts";
import type { Check, Finding } from "./report.ts";

/** Sandboxes by bubblewrap begin with one, made by whoever has no rights. */
export const userNamespaces: Check = {
  name: "user-namespaces",
  needed: false,
  async probe() {
    const unshare = programPath("unshare");
    if (unshare === undefined) return { ok: "fail", detail: "unshare is not installed", remedy: "apt-get install util-linux" };
    const tried = await tryProgram([unshare, "--user", "true"], ordinaryUser());
    if (tried.ok) return { ok: "ok", detail: "an ordinary user can make them" };
    return { ok: "fail", detail: `an ordinary user cannot make them: ${tried.said}`, remedy: remedy() };
  },
};

/** Ubuntu lets only programs with a profile of their own have capabilities in them; others get one that is of no use. */
export const apparmorUserNamespaces: Check = {
  name: "apparmor-userns",
  needed: false,
  probe(): Finding {
    switch (setting("kernel/apparmor_restrict_unprivileged_userns")) {
      case undefined:
        return { ok: "ok", detail: "unrestricted (this kernel has no such restriction)" };
      case "0":
        return { ok: "ok", detail: "unrestricted" };
      default:
        return {
          ok: "warn",
          detail: "AppArmor takes their rights from user namespaces of programs without a profile",
          remedy: "allow bubblewrap by a profile with `userns,`, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        };
    }
  },
};

function remedy(): string {
  if (setting("kernel/unprivileged_userns_clone") === "0")
    return "sysctl -w kernel.unprivileged_userns_clone=1, and the same line in /etc/sysctl.d";
  if (setting("user/max_user_namespaces") === "0") return "sysctl -w user.max_user_namespaces=10000, and the same line in /etc/sysctl.d";
  return "in a container, allow them (seccomp=unconfined, or a profile with unshare and clone); else see user.max_user_namespaces";
}

function setting(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, "utf8").trim();
  } catch {
    return undefined;
  }
}
