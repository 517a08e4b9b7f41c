import { existsSync } from "node:fs";
import { join } from "node:path";

/** Where everything of one virtual machine is. Sockets are names within the directory. */
export type QemuLayout = {
  directory: string;
  /** Its number, by the shell above it. */
  pidFile: string;
  /** The number of the user it runs as, where that is one of its own. */
  user: string;
  supervisor: string;
  /** QEMU's exit status, complete once it ends in a line feed. */
  exit: string;
  /** All that came out of the guest's first serial port. Its name among QEMU's words is how the process is known again. */
  log: string;
  /** What QEMU itself had to say. */
  said: string;
  /** What it was started with. */
  started: string;
  /** The image chosen when the guest was prepared. */
  image: string;
  ended: string;
  /** There when we ended the guest by force. */
  killed: string;
  disk: string;
  firmwareVariables: string;
  environment: string;
  /** What cloud-init is told, as a CD image. */
  seed: string;
  /** What a guest without a disk sets itself up by. */
  setup: string;
  /** By what it gets directories of the host. */
  shareType: string;
  /** Where each of them is mounted for its virtiofsd, and for nobody else. */
  shares: string;
};

/** Names of the sockets in the directory. */
export const socketNames = { monitor: "monitor.sock", agent: "agent.sock", console: "console.sock" } as const;

export function qemuLayout(directory: string): QemuLayout {
  const at = (name: string): string => join(directory, name);
  return {
    directory,
    pidFile: at("qemu.pid"),
    user: at("user"),
    supervisor: at("supervisor"),
    exit: at("exit"),
    log: at("log"),
    said: at("qemu.log"),
    started: at("started.json"),
    image: at("vm-image.json"),
    ended: at("ended.json"),
    killed: at("killed"),
    disk: at("disk.qcow2"),
    firmwareVariables: at("firmware.vars"),
    environment: at("environment"),
    seed: at("seed.iso"),
    setup: at("setup"),
    shareType: at("share-type"),
    shares: at("shares"),
  };
}

/** Whether a guest's directory is that of a virtual machine that was prepared. */
export function isVmDirectory(directory: string): boolean {
  return existsSync(qemuLayout(directory).image);
}
