import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { PlatformError } from '#libs/errors';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const BACKLOG = 4096;
const EADDRINUSE = 98;
const EACCES = 13;

/** A listening TCP socket that nobody accepts from in this process: it is there to be handed to a child. */
export interface ListeningSocket {
  fd: number;
  close(): void;
}

/**
 * Opens a listening socket on an IPv4 or IPv6 address. Node's own server would start to accept here at once, and
 * connections that arrive while the router restarts would be ours instead of waiting in the backlog for the next one.
 * Throws `conflict` when the port is taken, `forbidden` when this user may not have it.
 */
export function openListeningSocket(address: string, port: number): ListeningSocket {
  const libc = koffi.load(null);
  const setsockopt = libc.func(
    'int setsockopt(int fd, int level, int name, const int *value, uint32_t size)',
  );
  const bind = libc.func('int bind(int fd, const uint8_t *address, uint32_t size)');
  const listen = libc.func('int listen(int fd, int backlog)');
  const isV6 = address.includes(':');
  const fd: number = libc.func('int socket(int domain, int type, int protocol)')(
    isV6 ? AF_INET6 : AF_INET,
    SOCK_STREAM_CLOEXEC,
    0,
  );
  if (fd < 0) throw listenError(address, port, koffi.errno());
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, [1], 4);
  if (isV6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, [1], 4);
  const name = isV6 ? sockaddrV6(address, port) : sockaddrV4(address, port);
  if (bind(fd, name, name.length) !== 0 || listen(fd, BACKLOG) !== 0) {
    const errno = koffi.errno();
    closeSync(fd);
    throw listenError(address, port, errno);
  }
  return { fd, close: () => closeSync(fd) };
}

/** ip(7): family in host order, port and address in network order. */
function sockaddrV4(address: string, port: number): Buffer {
  const name = Buffer.alloc(16);
  name.writeUInt16LE(AF_INET, 0);
  name.writeUInt16BE(port, 2);
  for (const [i, part] of address.split('.').entries()) name.writeUInt8(Number(part), 4 + i);
  return name;
}

/** ipv6(7). Only `::1` and `::` are ever asked for. */
function sockaddrV6(address: string, port: number): Buffer {
  const name = Buffer.alloc(28);
  name.writeUInt16LE(AF_INET6, 0);
  name.writeUInt16BE(port, 2);
  if (address === '::1') name.writeUInt8(1, 23);
  return name;
}

function listenError(address: string, port: number, errno: number): PlatformError {
  const where = `port ${port} on ${address}`;
  if (errno === EADDRINUSE) return new PlatformError('conflict', `cannot listen on ${where}: it is in use`);
  if (errno === EACCES) return new PlatformError('forbidden', `cannot listen on ${where}: this user may not`);
  return new PlatformError('internal', `cannot listen on ${where}: errno ${errno}`, { details: { errno } });
}
