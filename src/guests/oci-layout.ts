import { join } from "node:path";

/** Where everything of one container is. Nothing of it is anywhere else but its cgroup. */
export type OciLayout = {
  directory: string;
  rootfs: string;
  upper: string;
  work: string;
  config: string;
  /** The files the guest sees as /etc/hosts, /etc/hostname, /etc/resolv.conf. */
  etc: string;
  log: string;
  /** Host process id of the container's init, written by the runtime. */
  pid: string;
  /** The init as seen when the container came up; with it the process is known for sure, wherever it is moved. */
  init: string;
  /** Process id of the supervising shell. */
  supervisor: string;
  /** Exit status of the runtime, complete once it ends in a line feed. */
  exit: string;
  /** The same, before all output was written. */
  status: string;
  /** What the runtime itself had to say, one JSON object a line. */
  runtimeLog: string;
  /** The runtime's own state: private to this guest, so removing the directory removes it. */
  runtimeState: string;
  /** The image chosen when the guest was prepared. */
  image: string;
  /** Written when a start begins; what it was started with. */
  started: string;
  /** How the last run ended, as first seen: cgroup counters do not outlive a reboot. */
  ended: string;
  /** There when we killed the guest, so that a kill is not taken for the kernel's. */
  killed: string;
};

export function layoutOf(directory: string): OciLayout {
  const at = (name: string): string => join(directory, name);
  return {
    directory,
    rootfs: at("rootfs"),
    upper: at("upper"),
    work: at("work"),
    config: at("config.json"),
    etc: at("etc"),
    log: at("log"),
    pid: at("pid"),
    init: at("init.json"),
    supervisor: at("supervisor"),
    exit: at("exit"),
    status: at("status"),
    runtimeLog: at("runtime.log"),
    runtimeState: at("runtime"),
    image: at("image.json"),
    started: at("started.json"),
    ended: at("ended.json"),
    killed: at("killed"),
  };
}
