import { type Fd, fdNumber } from "./fd.ts";
import { libc } from "./libc.ts";

/** SIOCGIFINDEX (linux/sockios.h); struct ifreq (linux/if.h) is 40 bytes: the name in 16, then the answer. */
const getIndex = 0x8933;
const nameBytes = 16;
const ifreqBytes = 40;

/** The index of the interface of that name in the namespace of any socket; undefined when there is none (netdevice(7)). */
export function interfaceIndex(socket: Fd | number, name: string): number | undefined {
  const ifreq = new Uint8Array(ifreqBytes);
  if (Buffer.byteLength(name) >= nameBytes) return undefined;
  ifreq.set(Buffer.from(name));
  if (libc().ioctl(fdNumber(socket), getIndex, ifreq) !== 0) return undefined;
  return new DataView(ifreq.buffer).getInt32(nameBytes, true);
}
