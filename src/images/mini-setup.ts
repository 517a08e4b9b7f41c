import { shareOptions } from "./cloud-scripts.ts";
import type { ShareType } from "../spec/vm.ts";
import type { ProvisionStep, VmMount, VmSetup } from "../spec/vm-setup.ts";

/** In a guest of the mini image: one line, `running`, `ok`, or `failed` and what did. */
export const miniStatusPath = "/run/nexus/status";
/** All that was said on the way. */
export const miniLogPath = "/run/nexus/log";

/**
 * What a guest of the mini image runs after each boot, for it forgets everything: mounts, then the steps in order. The first that
 * fails ends it. The guest finds it as opt/nexus/setup and starts it when its modules are loaded and its cards have their addresses.
 */
export function miniSetupScript(setup: Pick<VmSetup, "mounts" | "provision">, shareType: ShareType): string {
  const { mounts, provision } = setup;
  const steps = provision.map((step, i) => {
    const script = stepScript(step);
    const words = `${i + 1} ${provision.length} ${script.startsWith("#!") ? "" : "sh -e "}`;
    return `step ${words.trimEnd()} <<'${endOf(script)}'\n${script.endsWith("\n") ? script : `${script}\n`}${endOf(script)}\n`;
  });
  return `#!/bin/sh
exec >${miniLogPath} 2>&1 </dev/null
[ ! -e /etc/environment.sh ] || . /etc/environment.sh
export HOME=/root
${functions}
tell running
${mounts.map((mount) => `${mountLine(mount, shareType)}\n`).join("")}${steps.join("")}tell ok
`;
}

/** A line that the script itself does not have. */
function endOf(script: string): string {
  let word = "NEXUS_END";
  while (script.split("\n").includes(word)) word += "_";
  return word;
}

function mountLine({ from, target, readOnly, options }: VmMount, shareType: ShareType): string {
  const words = [...(readOnly ? ["ro"] : []), ...(options === undefined ? [] : [options])];
  if ("share" in from)
    return `share ${shellWord(from.share)} ${shellWord(target)} ${["rw", ...shareOptions[shareType], ...words].join(",")} ${shareType}`;
  return `disk ${shellWord(from.disk)} ${shellWord(target)} ${["rw", ...words].join(",")} ${readOnly ? "as-is" : "format"}`;
}

/** A step as a script for the guest's shell. */
function stepScript(step: ProvisionStep): string {
  if (step.kind === "shell") return step.script;
  const { target, content, mode } = step;
  const lines = (
    Buffer.from(content)
      .toString("base64")
      .match(/.{1,76}/g) ?? []
  ).map((line) => `${line}\n`);
  const [place, temporary] = [shellWord(target), shellWord(`${target}.nexus-new`)];
  return `mkdir -p ${shellWord(directoryOf(target))}
umask 077
base64 -d >${temporary} <<'END'
${lines.join("")}END
chmod ${mode} ${temporary}
mv -f ${temporary} ${place}
`;
}

/** One word for a POSIX shell, whatever is in it. */
function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** For busybox. A disk counts as empty only when its first MiB is all zeros. */
const functions = `
tell() {
  echo "$*" >${miniStatusPath}.new
  mv ${miniStatusPath}.new ${miniStatusPath}
}

failed() {
  echo "nexus: $*"
  tell "failed $*"
  exit 1
}

share() {
  grep -qw "$4" /proc/filesystems || failed "mount $2: the kernel of this guest has no $4"
  mkdir -p "$2"
  mount -t "$4" -o "$3" "$1" "$2" || failed "mount $2"
}

# Prints the device whose serial number is the disk's name; it may be there a moment after its module.
device() {
  tries=0
  while [ $tries -lt 100 ]; do
    for place in /sys/block/*/serial; do
      [ "$(cat "$place" 2>/dev/null)" != "$1" ] || { place=\${place%/serial}; echo "/dev/\${place##*/}"; return 0; }
    done
    tries=$((tries + 1))
    sleep 0.1
  done
  return 1
}

disk() {
  for module in $(cat /lib/modules/disk); do insmod /lib/modules/$module.ko 2>/dev/null; done
  device=$(device "$1") || failed "there is no disk $1"
  if [ "$4" = format ]; then
    head=$(dd if="$device" bs=65536 count=16 2>/dev/null | tr -d '\\000' | head -c 1 | wc -c)
    if [ "$head" -eq 0 ]; then
      echo "nexus: making a file system on $1"
      mkfs.ext4 -q -m 0 "$device" || failed "make a file system on disk $1"
    fi
  fi
  mkdir -p "$2"
  mount -o "$3" "$device" "$2" || failed "mount $2"
}

# Number, count, what runs it; the script comes as input.
step() {
  number=$1 count=$2
  shift 2
  echo "nexus: step $number of $count"
  cat >/run/nexus/step && chmod 700 /run/nexus/step
  (cd / && exec "$@" /run/nexus/step </dev/null)
  code=$?
  [ $code -eq 0 ] || failed "step $number of $count with code $code"
}
`;
