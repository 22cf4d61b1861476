import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const setsockopt = libc.func(
  'int setsockopt(int fd, int level, int name, const void *value, uint32_t length)',
);
const bind = libc.func('int bind(int fd, const void *address, uint32_t length)');
const listen = libc.func('int listen(int fd, int backlog)');
const close = libc.func('int close(int fd)');

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;

/**
 * A listening socket that this process holds without accepting from it, as the supervisor of a router does: a
 * net.Server would take connections itself. Children get it by their `stdio`.
 */
export function holdListeningSocket(port: number): { fd: number; release(): void } {
  const fd = check('socket', socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  check('setsockopt', setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, Buffer.from([1, 0, 0, 0]), 4));
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  address.set([127, 0, 0, 1], 4);
  check('bind', bind(fd, address, address.length));
  check('listen', listen(fd, 4096));
  return { fd, release: () => void close(fd) };
}

function check(call: string, result: number): number {
  if (result < 0) throw new Error(`${call} failed (errno ${koffi.errno()})`);
  return result;
}
