import { spawn } from "node:child_process";

const marker = "NEXUS_BENCH_INSIDE";

/** True in the process that runs within the private namespaces. */
export function isInside(): boolean {
  return process.env[marker] === "1";
}

/**
 * Runs a script again in network, mount and process namespaces of its own, with an empty /run: nothing of the host is touched,
 * and whatever a benchmark started ends with it. Gives the exit code; 124 after the deadline.
 */
export async function runInside(script: string, args: readonly string[], deadlineMs: number): Promise<number> {
  const child = spawn(
    "unshare",
    [
      "--net",
      "--mount",
      "--pid",
      "--fork",
      "--kill-child",
      "--propagation",
      "private",
      "--mount-proc",
      "sh",
      "-c",
      setup,
      "bench",
      process.execPath,
      script,
      ...args,
    ],
    { stdio: "inherit", env: { ...process.env, [marker]: "1" } },
  );
  const timer = setTimeout(() => child.kill("SIGKILL"), deadlineMs);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", (cause) => reject(new Error("benchmarks need root and util-linux's unshare", { cause })));
      child.once("exit", (code) => resolve(code ?? 124));
    });
  } finally {
    clearTimeout(timer);
  }
}

// The shell stays as process 1 to reap what loses its parent; bridge-nf-call is as on a plain host that never loaded br_netfilter.
const setup = `
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock
ip link set lo up
for f in iptables ip6tables arptables; do
  [ ! -e /proc/sys/net/bridge/bridge-nf-call-$f ] || echo 0 > /proc/sys/net/bridge/bridge-nf-call-$f
done
"$@" &
wait $!
`;
