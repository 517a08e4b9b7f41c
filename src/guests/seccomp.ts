/**
 * The system calls a container may make: an allow-list by purpose. What is not listed answers ENOSYS, so that a C library
 * meeting a call younger than this table falls back to an older one; what is refused on purpose answers EPERM.
 * Format: OCI runtime specification, config-linux.md, "Seccomp".
 */
export type SeccompProfile = {
  defaultAction: "SCMP_ACT_ERRNO";
  defaultErrnoRet: number;
  architectures: string[];
  syscalls: SeccompRule[];
};

type SeccompRule = {
  names: string[];
  action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  errnoRet?: number;
  args?: { index: number; value: number; valueTwo?: number; op: "SCMP_CMP_EQ" | "SCMP_CMP_MASKED_EQ" }[];
};

export function seccompProfile(architecture: NodeJS.Architecture): SeccompProfile {
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: enosys,
    architectures: architecturesOf(architecture),
    syscalls: [
      { names: allowedCalls(), action: "SCMP_ACT_ALLOW" },
      { names: refusedCalls(), action: "SCMP_ACT_ERRNO", errnoRet: eperm },
      ...conditional,
    ],
  };
}

/** Those a container may make whatever their arguments. */
export function allowedCalls(): string[] {
  return Object.values(allowed).flatMap((text) => text.trim().split(/\s+/));
}

/** Those that are refused on purpose, whatever their arguments. */
export function refusedCalls(): string[] {
  return refused.trim().split(/\s+/);
}

const eperm = 1;
const enosys = 38;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h). */
export const namespaceFlags: readonly number[] = [
  0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000,
];
const anyNamespace = namespaceFlags.reduce((sum, flag) => sum + flag, 0);

/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (linux/socket.h). */
const socketFamilies = [1, 2, 10, 16];

/** personality(2): Linux, 32-bit Linux, both without address randomisation, and asking what it is. */
export const personalities: readonly number[] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const allowed = {
  files: `
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
    flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat
    getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown
    lchown32 lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr lseek _llseek lsetxattr lstat lstat64 mkdir
    mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev
    pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile
    sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee
    truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev chroot`,
  waiting: `
    _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
    eventfd2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 io_cancel io_destroy io_getevents
    io_pgetevents io_pgetevents_time64 io_setup io_submit`,
  memory: `
    brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap
    mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease
    remap_file_pages rseq`,
  processes: `
    arch_prctl capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getegid getegid32
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32
    getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set landlock_add_rule
    landlock_create_ruleset landlock_restrict_self pause pidfd_getfd pidfd_open pidfd_send_signal prctl prlimit64 ptrace
    restart_syscall sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid
    setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
    setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sysinfo times ugetrlimit uname vfork wait4 waitid waitpid`,
  signals: `
    alarm kill rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signal sigaction sigpending sigprocmask sigreturn sigsuspend tgkill tkill`,
  time: `
    adjtimex clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer
    gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64`,
  sockets: `
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send
    sendmmsg sendmsg sendto setsockopt shutdown socketpair`,
  exchange: `
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake ipc mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
    semtimedop_time64 shmat shmctl shmdt shmget`,
  random: "getrandom",
  arm: "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
} as const;

/** Ways to the kernel's insides, to the host's clock, disks and keys, or to more rights inside namespaces of one's own. */
const refused = `
  acct add_key bpf clock_adjtime clock_adjtime64 clock_settime clock_settime64 create_module delete_module fanotify_init
  fanotify_mark finit_module fsconfig fsmount fsopen fspick get_kernel_syms init_module io_uring_enter io_uring_register
  io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mount mount_setattr move_mount
  nfsservctl open_by_handle_at open_tree perf_event_open pivot_root process_vm_readv process_vm_writev query_module quotactl
  quotactl_fd reboot request_key setdomainname sethostname setns settimeofday stime swapoff swapon _sysctl sysfs syslog
  umount umount2 uselib userfaultfd ustat vhangup vm86 vm86old`;

const conditional: SeccompRule[] = [
  // The flags of clone3 lie behind a pointer a filter cannot read; ENOSYS makes C libraries use clone, whose flags it can.
  { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: enosys },
  {
    names: ["clone", "unshare"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 0, value: anyNamespace, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
  },
  ...namespaceFlags.map((flag): SeccompRule => ({
    names: ["clone", "unshare"],
    action: "SCMP_ACT_ERRNO",
    errnoRet: eperm,
    args: [{ index: 0, value: flag, valueTwo: flag, op: "SCMP_CMP_MASKED_EQ" }],
  })),
  // Only what programs talk with: packet sockets would forge frames, AF_VSOCK reaches the hypervisor, AF_ALG old kernel code.
  ...socketFamilies.map((value): SeccompRule => ({
    names: ["socket"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
  })),
  ...personalities.map((value): SeccompRule => ({
    names: ["personality"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
  })),
];

/** Only the machine's own instruction set: programs of another one (32-bit ones, too) are killed at their first call. */
function architecturesOf(architecture: NodeJS.Architecture): string[] {
  switch (architecture) {
    case "x64":
      return ["SCMP_ARCH_X86_64"];
    case "arm64":
      return ["SCMP_ARCH_AARCH64"];
    default:
      return [];
  }
}
