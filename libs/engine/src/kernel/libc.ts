import { constants as osConstants } from 'node:os';
import koffi from 'koffi';
import { PlatformError } from '#libs/errors';

/**
 * The system calls that Node has no words for, through koffi. All of them are synchronous and short; the one that takes
 * long (removing a network link) has its own asynchronous form in netlink.ts. Numbers above 423 are the same on every
 * architecture.
 */
const libc = koffi.load('libc.so.6');
const NR = {
  pidfdSendSignal: 424,
  openTree: 428,
  moveMount: 429,
  pidfdOpen: 434,
  openat2: 437,
  mountSetattr: 442,
} as const;

const cMount = libc.func('int mount(const char*, const char*, const char*, unsigned long, const char*)');
const cUmount2 = libc.func('int umount2(const char*, int)');
const cSetns = libc.func('int setns(int, int)');
const cSyncfs = libc.func('int syncfs(int)');
const cOpenTree = libc.func('syscall', 'long', ['long', 'int', 'str', 'uint']);
const cMoveMount = libc.func('syscall', 'long', ['long', 'int', 'str', 'int', 'str', 'uint']);
const cMountSetattr = libc.func('syscall', 'long', ['long', 'int', 'str', 'uint', 'void *', 'size_t']);
const cOpenat2 = libc.func('syscall', 'long', ['long', 'int', 'str', 'void *', 'size_t']);
const cPidfdOpen = libc.func('syscall', 'long', ['long', 'int', 'uint']);
const cPidfdSendSignal = libc.func('syscall', 'long', ['long', 'int', 'int', 'void *', 'uint']);
const cSocket = libc.func('int socket(int, int, int)');
const cSend = libc.func('long send(int, void*, unsigned long, int)');
const cRecv = libc.func('long recv(int, void*, unsigned long, int)');

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;

export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;
export const CLONE_NEWNET = 0x40000000;
export const MOUNT_ATTR_RDONLY = 1;
export const MOUNT_ATTR_NOSUID = 2;
export const MOUNT_ATTR_NODEV = 4;
const MOUNT_ATTR_IDMAP = 0x100000;
const O_CLOEXEC = 0x80000;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_IN_ROOT = 0x10;

/** The error of a failed system call; `details.errno` is its symbol, e.g. `EBUSY`. */
export class SystemCallError extends PlatformError {
  readonly errno: string;
  constructor(call: string, errno: number) {
    const symbol =
      Object.entries(osConstants.errno).find(([, value]) => value === errno)?.[0] ?? String(errno);
    super('internal', `${call}: ${symbol}`, { details: { errno: symbol } });
    this.errno = symbol;
  }
}

function check(result: unknown, call: string): number {
  const value = Number(result);
  if (value < 0) throw new SystemCallError(call, koffi.errno());
  return value;
}

/** mount(2). */
export function mount(source: string, target: string, type: string, flags: number, data: string): void {
  check(cMount(source, target, type, flags, data), `mount ${type} at ${target}`);
}

/** umount2(2) with MNT_DETACH; true when something was mounted there. */
export function unmount(target: string): boolean {
  if (cUmount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) === 0) return true;
  const error = new SystemCallError(`umount ${target}`, koffi.errno());
  if (error.errno === 'EINVAL' || error.errno === 'ENOENT') return false;
  throw error;
}

/** `unmount` in a thread: the last one of an overlay can take the kernel tens of milliseconds. */
export function unmountInThread(target: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    cUmount2.async(target, MNT_DETACH | UMOUNT_NOFOLLOW, (error: Error | null, result: number) => {
      if (error) reject(error);
      else if (result === 0) resolve(true);
      else {
        // The reason stayed behind in the thread; asked again, the kernel gives it at once.
        try {
          resolve(unmount(target));
        } catch (failure) {
          reject(failure);
        }
      }
    });
  });
}

export interface TreeMount {
  /** A folder or file of the host. */
  source: string;
  /** Where it appears; exists and is of the same kind. */
  target: string;
  /** MOUNT_ATTR_* bits. */
  attributes: number;
  /** User namespace whose map translates the owners on disk, for an idmapped mount. */
  userNamespaceFd?: number;
}

/** Binds a tree, with attributes and an optional id map set before anybody can see it (open_tree(2) and friends). */
export function mountTree({ source, target, attributes, userNamespaceFd }: TreeMount): void {
  const fd = check(
    cOpenTree(NR.openTree, AT_FDCWD, source, 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC),
    `open_tree ${source}`,
  );
  try {
    // struct mount_attr: attr_set, attr_clr, propagation, userns_fd (u64 each)
    const attr = Buffer.alloc(32);
    attr.writeBigUInt64LE(BigInt(attributes | (userNamespaceFd === undefined ? 0 : MOUNT_ATTR_IDMAP)), 0);
    attr.writeBigUInt64LE(1n << 18n /* MS_PRIVATE */, 16);
    attr.writeBigUInt64LE(BigInt(userNamespaceFd ?? 0), 24);
    check(
      cMountSetattr(NR.mountSetattr, fd, '', AT_EMPTY_PATH, attr, attr.length),
      `mount_setattr on ${source}`,
    );
    check(
      cMoveMount(NR.moveMount, fd, '', AT_FDCWD, target, 4 /* MOVE_MOUNT_F_EMPTY_PATH */),
      `move_mount ${source} to ${target}`,
    );
  } finally {
    closeFd(fd);
  }
}

const cClose = libc.func('int close(int)');
export function closeFd(fd: number): void {
  cClose(fd);
}

/**
 * Opens `path` as a process would that has `rootFd` for its root: no link, `..` or magic link leads out of it
 * (openat2(2), RESOLVE_IN_ROOT). Undefined when there is no such file.
 */
export function openInRoot(rootFd: number, path: string, flags: number): number | undefined {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), 16);
  const fd = Number(cOpenat2(NR.openat2, rootFd, path, how, how.length));
  if (fd >= 0) return fd;
  const error = new SystemCallError(`open ${path} in a rootfs`, koffi.errno());
  if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(error.errno)) return undefined;
  throw error;
}

/** A handle on a process that can never come to mean another one; undefined when there is no such process. */
export function openPidfd(pid: number): number | undefined {
  const fd = Number(cPidfdOpen(NR.pidfdOpen, pid, 0));
  if (fd >= 0) return fd;
  const error = new SystemCallError(`pidfd_open ${pid}`, koffi.errno());
  if (error.errno === 'ESRCH' || error.errno === 'EINVAL') return undefined;
  throw error;
}

/** False when the process is gone. */
export function sendSignal(pidfd: number, signal: number): boolean {
  if (Number(cPidfdSendSignal(NR.pidfdSendSignal, pidfd, signal, null, 0)) === 0) return true;
  const error = new SystemCallError(`pidfd_send_signal ${signal}`, koffi.errno());
  if (error.errno === 'ESRCH') return false;
  throw error;
}

/** Moves the calling thread. The caller moves back before it yields to the event loop. */
export function setns(fd: number, kind: number): void {
  check(cSetns(fd, kind), 'setns');
}

/** Writes everything of the file system that `fd` lies on to disk, in a thread. */
export function syncFileSystem(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    cSyncfs.async(fd, (error: Error | null, result: number) => {
      if (error) reject(error);
      else if (result < 0)
        reject(new PlatformError('internal', 'syncfs failed: the disk did not take the data'));
      else resolve();
    });
  });
}

export function openSocket(domain: number, type: number, protocol: number): number {
  return check(cSocket(domain, type | O_CLOEXEC, protocol), 'socket');
}

export function send(fd: number, data: Buffer): void {
  check(cSend(fd, data, data.length, 0), 'send');
}

/** `send` in a thread, for requests that the kernel works on for long before it returns. */
export function sendInThread(fd: number, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    cSend.async(fd, data, data.length, 0, (error: Error | null, result: number) => {
      if (error) reject(error);
      else if (result < 0) reject(new PlatformError('internal', 'a netlink request could not be sent'));
      else resolve();
    });
  });
}

export function receive(fd: number, into: Buffer): number {
  return check(cRecv(fd, into, into.length, 0), 'recv');
}
