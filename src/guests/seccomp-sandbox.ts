import { allowedCalls, namespaceFlags, personalities, refusedCalls } from "./seccomp.ts";

/** What becomes of a system call: it is made, or answers an errno. */
export type CallAction = "allow" | { errno: number };

/** Of an argument's low 32 bits, as the kernel takes no more of any that is named here: it is one of the values, or has any of their bits. */
export type Condition = { argument: number; test: "equals" | "anyBit"; values: readonly number[] };

/** The first case whose conditions all hold, else the last word. */
export type ArgumentRule = { cases: { when: readonly Condition[]; action: CallAction }[]; otherwise: CallAction };

export type CallPolicy = { calls: ReadonlyMap<string, CallAction | ArgumentRule>; otherwise: CallAction };

/**
 * What an untrusted command may ask of the kernel: what a container may, but no tracing of other processes, no sockets beyond
 * local ones and IP (netlink neither: it is a wide door to the kernel for the one use of listing interfaces), nothing typed into a
 * terminal for its user, and no set-user-id files: those in a workspace belong to its owner, whom they would make of anybody. Calls nobody has decided on answer ENOSYS, so that C libraries fall back to older ones.
 */
export function sandboxPolicy(): CallPolicy {
  const calls = new Map<string, CallAction | ArgumentRule>();
  for (const name of allowedCalls()) calls.set(name, "allow");
  for (const name of [...refusedCalls(), ...alsoRefused]) calls.set(name, { errno: eperm });
  for (const [name, rule] of Object.entries(byArgument)) calls.set(name, rule);
  return { calls, otherwise: { errno: enosys } };
}

const eperm = 1;
const enosys = 38;
const addressFamilyUnknown = 97;

const alsoRefused = ["ptrace", "pidfd_getfd"];

/** CLONE_NEWTIME (linux/sched.h), which only unshare takes: in clone the bit is part of a signal's number. */
const newTime = 0x80;

/** AF_UNIX, AF_INET, AF_INET6 (linux/socket.h). */
const families: ArgumentRule = {
  cases: [{ when: [{ argument: 0, test: "equals", values: [1, 2, 10] }], action: "allow" }],
  otherwise: { errno: addressFamilyUnknown },
};

/** S_ISUID and S_ISGID in a mode. Of calls that open, only when they make a file: the mode is rubbish otherwise. */
function noSetId(mode: number, flags?: number): ArgumentRule {
  const makes: Condition[] = flags === undefined ? [] : [{ argument: flags, test: "anyBit", values: [makeFile, makeNameless] }];
  const setsId: Condition = { argument: mode, test: "anyBit", values: [0o4000, 0o2000] };
  return { cases: [{ when: [...makes, setsId], action: { errno: eperm } }], otherwise: "allow" };
}

/** O_CREAT and __O_TMPFILE (asm-generic/fcntl.h). */
const makeFile = 0o100;
const makeNameless = 0o20000000;

function refuse(condition: Condition): ArgumentRule {
  return { cases: [{ when: [condition], action: { errno: eperm } }], otherwise: "allow" };
}

const byArgument: Readonly<Record<string, CallAction | ArgumentRule>> = {
  // The flags of clone3 and the mode of openat2 lie behind pointers a filter cannot read; ENOSYS makes programs use the older calls.
  clone3: { errno: enosys },
  openat2: { errno: enosys },
  clone: refuse({ argument: 0, test: "anyBit", values: namespaceFlags }),
  unshare: refuse({ argument: 0, test: "anyBit", values: [...namespaceFlags, newTime] }),
  socket: families,
  socketpair: families,
  // TIOCSTI and TIOCLINUX put words into the mouth of whoever has the terminal; TIOCSETD loads drivers (ioctl_tty(2), ioctl_console(2)).
  ioctl: refuse({ argument: 1, test: "equals", values: [0x5412, 0x541c, 0x5423] }),
  personality: {
    cases: [{ when: [{ argument: 0, test: "equals", values: personalities }], action: "allow" }],
    otherwise: { errno: eperm },
  },
  chmod: noSetId(1),
  fchmod: noSetId(1),
  fchmodat: noSetId(2),
  fchmodat2: noSetId(2),
  creat: noSetId(1),
  mknod: noSetId(1),
  mknodat: noSetId(2),
  open: noSetId(2, 1),
  openat: noSetId(3, 2),
};
