import { createHash } from "node:crypto";
import { unreachable } from "../base/exhaustive.ts";
import type { ShareType } from "../spec/vm.ts";
import type { ProvisionStep, VmMount } from "../spec/vm-setup.ts";
import type { CloudFile, CloudInit } from "./cloud-init.ts";

/** Where Nexus keeps its own in a guest with cloud-init. */
const home = "/var/lib/nexus";

/** One line: `running`, `ok`, or `failed` and what did. */
export const provisionStatusPath = `${home}/status`;

/** The same of one instance: what an earlier one came to does not count for it. */
export function instanceStatusPath(wish: CloudInit): string {
  // By what it mounts is no part of what was asked, and who reads the file does not know it.
  const asked = { ...wish, shareType: undefined, userData: wish.userData?.replace(/^#cloud-config\s*$/, "").trim() ?? "" };
  return `${provisionStatusPath}.${createHash("sha256").update(JSON.stringify(asked)).digest("hex").slice(0, 16)}`;
}

/** All that the steps said. */
export const provisionLogPath = "/var/log/nexus-provision.log";

/** The command that does it all, once an instance. */
export const provisionCommand = ["/bin/sh", `${home}/run`];

/** What the guest's first boot does beyond what cloud-init has modules for: environment, mounts, agent, provision. */
export function provisionFiles(wish: CloudInit): CloudFile[] {
  const { provision = [], environment = {}, mounts = [], shareType = "9p" } = wish;
  const steps = provision.map((step, i) => ({ path: `${home}/steps/${i + 1}`, content: contentOf(step), mode: "0700" }));
  return [
    { path: `${home}/run`, content: runScript(wish), mode: "0700" },
    { path: `${home}/environment`, content: environmentLines(environment), mode: "0600" },
    { path: "/etc/profile.d/nexus.sh", content: exportLines(environment), mode: "0644" },
    { path: `${home}/fstab`, content: mounts.map((mount) => fstabLine(mount, shareType)).join(""), mode: "0600" },
    ...steps,
  ];
}

function runScript(wish: CloudInit): string {
  const { provision = [], mounts = [], agent = false } = wish;
  return `${[
    "#!/bin/sh",
    "# Written by Nexus: runs once for each instance. What it says is in the log named below.",
    `home=${home} log=${provisionLogPath} instance=${instanceStatusPath(wish)}`,
    "export HOME=${HOME:-/root}",
    functions,
    "run() {",
    // First of all, so that the rest can be followed.
    ...(agent ? ["  start_agent </dev/null"] : []),
    "  block /etc/environment environment || return 1",
    "  block /etc/fstab fstab || return 1",
    "  . /etc/profile.d/nexus.sh",
    ...mounts.map((mount) => `  ${mountCommand(mount)} || return 1`),
    ...provision.map((step, i) => `  step ${i + 1} ${provision.length} ${wayOf(step)} || return 1`),
    "  tell ok",
    "}",
    "tell running",
    'run 2>&1 | tee -a "$log"',
    '[ "$(cat $home/status)" = ok ]',
  ].join("\n")}\n`;
}

/** For the POSIX shell of any image. */
const functions = `
tell() {
  echo "$*" > $home/status
  cp $home/status $instance.new && mv $instance.new $instance
}

failed() {
  echo "nexus: $*"
  tell "failed $*"
  return 1
}

# Puts the lines of a file of ours into one of the system's, in place of those put there before.
block() {
  touch "$1" && cp -p "$1" "$1.nexus" &&
    { awk '/^# nexus: begin$/ { ours = 1 } !ours { print } /^# nexus: end$/ { ours = 0 }' "$1" &&
      echo '# nexus: begin' && cat "$home/$2" && echo '# nexus: end'; } > "$1.nexus" && mv "$1.nexus" "$1" || failed "write $1"
}

# A disk counts as empty only when its first MiB is all zeros: every file system and partition table leaves traces there.
format_empty() {
  [ -b "$1" ] || { failed "there is no disk $1"; return 1; }
  dd if="$1" bs=65536 count=16 > "$home/head" 2>/dev/null && [ -s "$home/head" ] || { failed "read $1"; return 1; }
  [ "$(tr -d '\\000' < "$home/head" | wc -c)" -eq 0 ] || return 0
  echo "nexus: making a file system on $1"
  "mkfs.$2" "$1" </dev/null || failed "mkfs.$2 $1"
}

mount_at() {
  mkdir -p "$1" && { grep -qs " $2 " /proc/mounts || mount "$1"; } || failed "mount $1"
}

# An image that has the agent needs no archive to be reached.
install() {
  if command -v apt-get >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install "$1"
  elif command -v dnf >/dev/null; then dnf -q -y install "$1"
  elif command -v apk >/dev/null; then apk add "$1"
  elif command -v zypper >/dev/null; then zypper -n install "$1"
  else false
  fi
}

start_agent() {
  command -v qemu-ga >/dev/null || install qemu-guest-agent || { echo "nexus: qemu-guest-agent could not be installed"; return 0; }
  if command -v systemctl >/dev/null; then
    systemctl enable qemu-guest-agent >/dev/null 2>&1
    systemctl start qemu-guest-agent
  else
    rc-update add qemu-guest-agent default
    rc-service qemu-guest-agent start
  fi || echo "nexus: qemu-guest-agent did not start"
}

# Number, count, and what is done with the step's file, whose path comes last.
step() {
  number=$1 count=$2
  shift 2
  echo "nexus: step $number of $count"
  (cd / && "$@" "$home/steps/$number" </dev/null)
  code=$?
  [ $code -eq 0 ] || failed "step $number of $count with code $code"
}

# Where it goes, and its mode.
put() {
  mkdir -p "$(dirname "$1")" && cp "$3" "$1.nexus" && chmod "$2" "$1.nexus" && mv "$1.nexus" "$1"
}
`;

function contentOf(step: ProvisionStep): string {
  switch (step.kind) {
    case "shell":
      return step.script.endsWith("\n") ? step.script : `${step.script}\n`;
    case "file":
      return step.content;
    default:
      return unreachable(step);
  }
}

/** The words before the step's path. */
function wayOf(step: ProvisionStep): string {
  if (step.kind === "file") return `put ${quote(step.target)} ${step.mode}`;
  return step.script.startsWith("#!") ? "env" : "sh -e";
}

function mountCommand(mount: VmMount): string {
  const at = `mount_at ${quote(mount.target)} ${quote(fstabText(mount.target))}`;
  return "share" in mount.from || mount.readOnly ? at : `format_empty ${quote(diskPath(mount.from.disk))} ${diskType} && ${at}`;
}

/** Of a disk that has no file system yet. One that has may be of any type the guest knows. */
const diskType = "ext4";

/** What mount(8) must know of each way to a directory of the host. */
export const shareOptions = { "9p": ["trans=virtio", "version=9p2000.L", "msize=262144"], virtiofs: [] } as const;

/** fstab(5). A guest boots without what is not there; the user's options come last, where they count. */
function fstabLine(mount: VmMount, shareType: ShareType): string {
  const options = [
    "nofail",
    ...(mount.readOnly ? ["ro"] : []),
    ...(mount.options === undefined || mount.options === "" ? [] : [mount.options]),
  ];
  const target = fstabText(mount.target);
  if ("share" in mount.from)
    return `${fstabText(mount.from.share)} ${target} ${shareType} ${[...shareOptions[shareType], ...options].join(",")} 0 0\n`;
  return `${diskPath(mount.from.disk)} ${target} auto ${["defaults", ...options].join(",")} 0 2\n`;
}

function diskPath(name: string): string {
  return `/dev/disk/by-id/virtio-${name}`;
}

function fstabText(text: string): string {
  return text.replaceAll(/[\\\s#]/g, (letter) => `\\${letter.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

/** For pam_env, which knows no escapes: what it could not read is only in the shell's file. */
function environmentLines(environment: Readonly<Record<string, string>>): string {
  const plain = Object.entries(environment).filter(([, value]) => !/["#\\\n]/.test(value));
  return plain.map(([name, value]) => `${name}="${value}"\n`).join("");
}

function exportLines(environment: Readonly<Record<string, string>>): string {
  return Object.entries(environment)
    .map(([name, value]) => `export ${name}=${quote(value)}\n`)
    .join("");
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
