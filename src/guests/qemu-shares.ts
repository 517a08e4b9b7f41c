import { closeSync, constants, existsSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { openWaitingConnection } from "../kernel/unix-socket.ts";
import type { ShareType, VmShare } from "../spec/vm.ts";
import { comma, deviceOf } from "./qemu-devices.ts";
import type { VmImage } from "./qemu-image.ts";
import type { QemuLayout } from "./qemu-layout.ts";
import type { VmPlan } from "./qemu-plan.ts";
import { carry, type Virtiofsd } from "./virtiofsd.ts";
import { writeWhole } from "./write-whole.ts";

/**
 * Looks at the directories, and decides by what the guest gets them: virtiofs where it works, else 9p. A guest with a disk keeps what it was
 * told first, for cloud-init does everything again when told otherwise.
 * @throws NexusError `not-found`, `wrong-state`; `unsupported` when the guest's kernel knows none of what works here
 */
export async function chooseShareType(
  plan: VmPlan,
  { layout, image }: { layout: QemuLayout; image: VmImage },
  find: () => Promise<Virtiofsd>,
): Promise<void> {
  const { shares, kernel, machine } = plan.spec;
  for (const share of shares) refuseUnlessDirectory(share);
  if (shares.length === 0) return;
  const only = kernel === undefined ? image.shareType : undefined;
  const kept = existsSync(layout.shareType) ? readShareType(layout) : existsSync(layout.disk) ? "9p" : undefined;
  const wanted = only ?? kept;
  const virtiofsd = wanted === "9p" ? undefined : machine === "microvm" ? notInMicrovm : await find();
  if (wanted === "virtiofs" && virtiofsd?.kind === "unusable") throw unusable(plan, virtiofsd, only !== undefined);
  writeWhole(layout.shareType, wanted ?? (virtiofsd?.kind === "usable" ? "virtiofs" : "9p"));
}

/** What was chosen. */
export function readShareType(layout: QemuLayout): ShareType {
  try {
    return readFileSync(layout.shareType, "utf8") === "virtiofs" ? "virtiofs" : "9p";
  } catch {
    return "9p";
  }
}

/** What serves the directories of one start. `fds`: the connections for QEMU to inherit, in the order of the shares; none with 9p. */
export type OpenShares = Disposable & { fds: readonly number[]; serve: () => void };

/** Connections are open from here on; `serve` has them answered. Whatever fails or is killed in between, their end ends all. @throws NexusError, KernelError */
export function openShares(plan: VmPlan, layout: QemuLayout, virtiofsd: Virtiofsd | undefined): OpenShares {
  if (virtiofsd === undefined) return { fds: [], serve: () => undefined, [Symbol.dispose]: () => undefined };
  if (virtiofsd.kind === "unusable") throw unusable(plan, virtiofsd, false);
  using stack = new DisposableStack();
  const open = plan.spec.shares.map((share) => {
    const { listener, client } = openWaitingConnection(layout.directory);
    stack.use(listener);
    stack.use(client);
    return { share, listener, client };
  });
  const all = stack.move();
  return {
    fds: open.map(({ client }) => client.number),
    serve: () => {
      const said = openSync(layout.said, constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW);
      try {
        for (const { share, listener } of open)
          carry(virtiofsd, { ...share, place: join(layout.shares, share.name) }, { listener, said }).unref();
      } finally {
        closeSync(said);
      }
    },
    [Symbol.dispose]: () => all.dispose(),
  };
}

/** QEMU's words for the directories; `fds` are its own numbers of the connections to virtiofsd, undefined with 9p. */
export function shareArguments(plan: VmPlan, fds: readonly number[] | undefined): string[] {
  if (fds !== undefined)
    return plan.spec.shares.flatMap(({ name }, i) => [
      "-chardev",
      `socket,id=share-${name},fd=${fds[i]}`,
      "-device",
      `${deviceOf(plan, "vhost-user-fs")},chardev=share-${name},tag=${name}`,
    ]);
  return plan.spec.shares.flatMap(({ name, source, readOnly }) => [
    "-fsdev",
    `local,id=share-${name},path=${comma(source)},security_model=mapped-xattr${readOnly ? ",readonly=on" : ""}`,
    "-device",
    `${deviceOf(plan, "virtio-9p")},fsdev=share-${name},mount_tag=${name}`,
  ]);
}

/** virtiofsd reads and writes where the guest's memory says, so it has to be one both can map. */
export function sharedMemory({ spec }: VmPlan, fds: readonly number[] | undefined): { machine: string; words: string[] } {
  if (fds === undefined) return { machine: "", words: [] };
  return { machine: ",memory-backend=memory", words: ["-object", `memory-backend-memfd,id=memory,size=${spec.mem}M,share=on`] };
}

function refuseUnlessDirectory({ name, source }: VmShare): void {
  const stat = statSync(source, { throwIfNoEntry: false });
  if (stat === undefined)
    throw new NexusError("not-found", `share ${name}: there is no directory ${source} on this host`, { hint: "make it first" });
  if (!stat.isDirectory())
    throw new NexusError("wrong-state", `share ${name}: ${source} is no directory`, {
      hint: "a machine gets a file as a disk, or by nexus cp",
    });
}

/** Its devices are as they were before virtio 1.0, and virtiofsd wants none of those. */
const notInMicrovm: Virtiofsd = { kind: "unusable", why: "a microvm cannot have it", hint: "use machine q35" };

function unusable(plan: VmPlan, { why, hint }: Virtiofsd & { kind: "unusable" }, only: boolean): NexusError {
  const need = only
    ? `the kernel of ${plan.spec.image} mounts directories of the host by virtiofs alone`
    : `${plan.name} was set up with virtiofs`;
  return new NexusError("unsupported", `${need}, and ${why}`, {
    hint: only ? `${hint}, or take an image whose kernel has 9p, such as debian-12` : hint,
  });
}
