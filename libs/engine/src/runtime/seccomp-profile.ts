/**
 * The system calls that a container without capabilities may make: an allow-list in the shape of the field's default
 * profile (moby's), for the native architecture only. Left out against it: everything that a capability would open, the
 * io_uring family, 32-bit calls, and all socket families and protocols but the few that apps speak, since creating a
 * socket of another can load a kernel module on a stranger's word. Anything else answers EPERM.
 */
const ALLOWED = `
accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown clock_adjtime clock_getres
clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve
execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate
futex futex_requeue futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid geteuid
getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid
getrlimit get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid
getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents
io_pgetevents ioprio_get ioprio_set io_setup io_submit kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat
madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2
mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl
msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2
pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv
preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read
readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2
restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max
sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto setfsgid
setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit
set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setxattr shmat shmctl shmdt shmget shutdown
sigaltstack signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat sync sync_file_range syncfs
sysinfo tee tgkill time timer_create timer_delete timerfd_create timerfd_gettime timerfd_settime timer_getoverrun
timer_gettime timer_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice
wait4 waitid waitpid write writev
`
  .trim()
  .split(/\s+/);

const PER_ARCHITECTURE: Record<string, { architecture: string; names: string[] }> = {
  x64: { architecture: 'SCMP_ARCH_X86_64', names: ['arch_prctl', 'modify_ldt'] },
  arm64: {
    architecture: 'SCMP_ARCH_AARCH64',
    names: ['arm_fadvise64_64', 'arm_sync_file_range', 'sync_file_range2'],
  },
};

/** IPPROTO_* that apps speak: the default, ICMP, TCP, UDP, ICMPv6, MPTCP. Any other may load a module of the kernel. */
const IP_PROTOCOLS = [0, 1, 6, 17, 58, 262];
/** NETLINK_ROUTE, SOCK_DIAG, AUDIT (which PAM asks for), KOBJECT_UEVENT. */
const NETLINK_PROTOCOLS = [0, 4, 9, 15];
/** By family (socket(2)), undefined for any protocol. AF_ALG and AF_VSOCK, which reach past namespaces, are not here. */
const SOCKETS: [family: number, protocols: readonly number[] | undefined][] = [
  [1 /* AF_UNIX */, undefined],
  [2 /* AF_INET */, IP_PROTOCOLS],
  [10 /* AF_INET6 */, IP_PROTOCOLS],
  [16 /* AF_NETLINK */, NETLINK_PROTOCOLS],
];
/** Execution domains that only change what programs are told (personality(2)); 0xffffffff asks for the present one. */
const PERSONALITIES = [0, 0x8, 0x20000, 0x20008, 0xffffffff];
/** Every CLONE_NEW* flag (clone(2)): new namespaces would give a process capabilities inside them. */
const CLONE_NAMESPACE_FLAGS = 0x7e020000;
const EPERM = 1;
const ENOSYS = 38;

interface SeccompArgument {
  index: number;
  value: number;
  valueTwo?: number;
  op: 'SCMP_CMP_EQ' | 'SCMP_CMP_MASKED_EQ';
}

interface SeccompRule {
  names: string[];
  action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  errnoRet?: number;
  args?: SeccompArgument[];
}

/** OCI runtime spec, config-linux.md, `linux.seccomp`. */
export interface SeccompProfile {
  defaultAction: 'SCMP_ACT_ERRNO';
  defaultErrnoRet: number;
  architectures: string[];
  syscalls: SeccompRule[];
}

const onlyWith = (name: string, values: readonly number[]): SeccompRule[] =>
  values.map((value) => ({
    names: [name],
    action: 'SCMP_ACT_ALLOW',
    args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }],
  }));

const socketRules = (): SeccompRule[] =>
  SOCKETS.flatMap(([family, protocols]) =>
    (protocols ?? [undefined]).map((protocol) => ({
      names: ['socket'],
      action: 'SCMP_ACT_ALLOW' as const,
      args: [
        { index: 0, value: family, op: 'SCMP_CMP_EQ' as const },
        ...(protocol === undefined ? [] : [{ index: 2, value: protocol, op: 'SCMP_CMP_EQ' as const }]),
      ],
    })),
  );

/** The profile for processes of a Node architecture (`process.arch`). */
export function seccompProfile(arch: string): SeccompProfile {
  const native = PER_ARCHITECTURE[arch];
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    architectures: native ? [native.architecture] : [],
    syscalls: [
      { names: [...ALLOWED, ...(native?.names ?? [])], action: 'SCMP_ACT_ALLOW' },
      ...socketRules(),
      ...onlyWith('personality', PERSONALITIES),
      {
        names: ['clone'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 0, value: CLONE_NAMESPACE_FLAGS, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      },
      // Its flags sit in memory, where a filter cannot look; C libraries fall back to clone.
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    ],
  };
}
