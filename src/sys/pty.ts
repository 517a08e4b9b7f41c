import * as fs from "node:fs";
import { Fd, openFile } from "./fd.ts";
import { checked, libc } from "./libc.ts";

/** ioctl_tty(2), asm-generic numbers: x86-64 and arm64. */
const request = { setWindowSize: 0x5414, lockPeer: 0x40045431, peerNumber: 0x80045430, openPeer: 0x5441 } as const;

/** Both ends of a pseudo-terminal, closed together; `path` names the peer in this mount namespace's devpts. */
export type Pty = Disposable & { controller: Fd; peer: Fd; path: string };

/** Opens a pseudo-terminal, close-on-exec, nobody's controlling terminal; `multiplexer` of the devpts it is to be in. @throws KernelError */
export function openPty(multiplexer = "/dev/ptmx"): Pty {
  using stack = new DisposableStack();
  const { O_RDWR, O_NOCTTY } = fs.constants;
  const controller = stack.use(openFile(multiplexer, O_RDWR | O_NOCTTY));
  checked("unlock a pseudo-terminal", libc().ioctl(controller.number, request.lockPeer, new Uint8Array(4)));
  const number = new Uint8Array(4);
  checked("read a pseudo-terminal's number", libc().ioctl(controller.number, request.peerNumber, number));
  const flags = O_RDWR | O_NOCTTY | closeOnExec;
  // TIOCGPTPEER takes its flags as the argument itself, and opens the right peer whatever is mounted on /dev/pts.
  const peer = stack.use(
    new Fd(checked("open a pseudo-terminal's peer", libc().ioctl(controller.number, request.openPeer, BigInt(flags)))),
  );
  const both = stack.move();
  return { controller, peer, path: `/dev/pts/${new DataView(number.buffer).getUint32(0, true)}`, [Symbol.dispose]: () => both.dispose() };
}

/** Sets the size a terminal reports and signals its foreground group (SIGWINCH). @throws KernelError */
export function resizeTerminal(fd: Fd, size: { columns: number; rows: number }): void {
  const winsize = new Uint8Array(Uint16Array.of(size.rows, size.columns, 0, 0).buffer);
  checked("resize a terminal", libc().ioctl(fd.number, request.setWindowSize, winsize));
}

const closeOnExec = 0o2000000;
