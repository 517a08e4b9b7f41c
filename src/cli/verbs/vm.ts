import type { VerbContext } from "../context.ts";
import { addressesText, guestLine, publishText, stateText } from "../guest-text.ts";
import { table } from "../tables.ts";
import { noteUserMode } from "../user-mode.ts";
import type { RestartPolicy } from "../../spec/restart-policy.ts";
import type { VmSpecInput } from "../../spec/vm.ts";

export async function create(c: VerbContext): Promise<void> {
  const { disksOf, envOf, marksOf, memOf, networksOf, publishOf } = await import("../guest-flags.ts");
  const { vmImageFor } = await import("../image-flag.ts");
  const { setupFlagsOf } = await import("../vm-setup-flags.ts");
  const { flags } = c;
  const image = flags.text("image");
  const optional = {
    image: image === undefined ? undefined : vmImageFor(image, { directory: process.cwd(), home: c.io.env["HOME"] }),
    setup: setupFlagsOf(c, image),
    mem: memOf(c),
    cpus: flags.number("cpus", "whole"),
    disk: flags.text("disk"),
    queues: flags.number("queues", "whole"),
    sshPort: flags.number("ssh-port", "whole"),
    machine: flags.text("machine") as VmSpecInput["machine"],
    uefi: flags.on("uefi") ? true : undefined,
    accel: flags.text("accel") as VmSpecInput["accel"],
    restart: flags.text("restart") as RestartPolicy | undefined,
    hostname: flags.text("hostname"),
    dns: flags.many("dns").length === 0 ? undefined : flags.many("dns"),
  };
  const given = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
  const body: VmSpecInput = {
    name: c.arg("NAME"),
    env: envOf(c),
    networks: networksOf(c),
    publish: publishOf(c),
    disks: disksOf(c),
    ...marksOf(c),
    ...given,
  };
  const client = await c.client();
  using progress = c.progress();
  const guest = await client.follow("vm.create", { body, query: { start: !flags.on("no-run") } }, progress.show);
  progress[Symbol.dispose]();
  c.out.result(guest, () => guestLine(guest));
  if (guest.attachments.length === 0) await noteUserMode(client, guest.name, c.out.note);
}

export async function list(c: VerbContext): Promise<void> {
  const guests = await (await c.client()).call("vm.list");
  c.out.result(guests, () =>
    table(
      ["NAME", "STATE", "IMAGE", "NETWORKS", "ADDRESSES", "PUBLISHED", "ACCEL"],
      guests.map((g) => [
        g.name,
        stateText(g),
        g.image ?? "",
        g.attachments.length === 0 ? "user" : g.attachments.map((a) => a.network).join(","),
        g.sshPort === undefined ? addressesText(g) : `ssh 127.0.0.1:${g.sshPort}`,
        publishText(g.publish),
        g.acceleration?.kind ?? "",
      ]),
    ),
  );
}
