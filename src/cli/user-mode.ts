import type { Client } from "../api/client.ts";

/**
 * Says of a virtual machine made in user mode by root's daemon what it reaches; that of a user reaches what the user does, and nobody is
 * surprised.
 */
export async function noteUserMode(client: Client, name: string, note: (line: string) => void): Promise<void> {
  if ((await client.call("info")).scope === "user") return;
  const { runsAs } = await client.call("vm.get", { params: { name } });
  const reached =
    runsAs?.uid === 0
      ? "its QEMU being root, it reaches what root's programs here reach, services on 127.0.0.1 (as 10.0.2.2) and internal networks among them"
      : "it reaches what this host reaches, from the host's address, but for the host itself and its networks";
  note(`${name} is in user mode: ${reached}; --network gives it an address of its own`);
}
