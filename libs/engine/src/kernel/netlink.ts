import { closeSync, openSync, readFileSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { isSystemError, PlatformError } from '#libs/errors';
import { CLONE_NEWNET, closeFd, openSocket, receive, send, sendInThread, setns } from './libc.ts';

/**
 * rtnetlink (rtnetlink(7)), as far as a container's network needs it: links, addresses, one route. In-process because
 * seven `ip` commands cost more than the rest of a container's start.
 */
const RTM = { NEWLINK: 16, DELLINK: 17, GETLINK: 18, NEWADDR: 20, NEWROUTE: 24, DELROUTE: 25 } as const;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_CREATE_EXCL = 0x600;
const NLM_F_CREATE_REPLACE = 0x500;
const IFF_UP = 1;
const IFLA = { ADDRESS: 1, IFNAME: 3, MTU: 4, MASTER: 10, LINKINFO: 18, NET_NS_FD: 28 } as const;
const NLA_F_NESTED = 0x8000;
const NLMSG_ERROR = 2;
const LOOPBACK_INDEX = 1;
/** Locally administered, unicast: the first bytes of a bridge's hardware address, before its IPv4 address. */
const LOCAL_ADDRESS_PREFIX = Buffer.from([0x02, 0x67]);

interface Message {
  type: number;
  flags?: number;
  body: Buffer;
}

function pad4(length: number): number {
  return (length + 3) & ~3;
}

function attribute(type: number, data: Buffer): Buffer {
  const buffer = Buffer.alloc(pad4(4 + data.length));
  buffer.writeUInt16LE(4 + data.length, 0);
  buffer.writeUInt16LE(type, 2);
  data.copy(buffer, 4);
  return buffer;
}

function nested(type: number, ...attributes: Buffer[]): Buffer {
  return attribute(type | NLA_F_NESTED, Buffer.concat(attributes));
}

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

const text = (value: string) => Buffer.from(`${value}\0`);
const ipv4 = (address: string) => Buffer.from(address.split('.').map(Number));

/** struct ifinfomsg; `up` switches the link on. */
function linkHeader(index: number, up: boolean): Buffer {
  const buffer = Buffer.alloc(16);
  buffer.writeInt32LE(index, 4);
  buffer.writeUInt32LE(up ? IFF_UP : 0, 8);
  buffer.writeUInt32LE(up ? IFF_UP : 0, 12);
  return buffer;
}

/** An address without a network around it: what is near is said by routes. */
function addressMessage(index: number, address: string): Message {
  const header = Buffer.alloc(8);
  header[0] = 2; // AF_INET
  header[1] = 32;
  header.writeUInt32LE(index, 4);
  const body = Buffer.concat([header, attribute(2, ipv4(address)), attribute(1, ipv4(address))]);
  return { type: RTM.NEWADDR, flags: NLM_F_CREATE_EXCL, body };
}

function defaultRouteMessage(index: number, gateway: string): Message {
  // struct rtmsg: family AF_INET, table main (254), protocol boot (3), scope universe, type unicast (1)
  const header = Buffer.from([2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]);
  const body = Buffer.concat([header, attribute(5, ipv4(gateway)), attribute(4, uint32(index))]);
  return { type: RTM.NEWROUTE, flags: NLM_F_CREATE_EXCL, body };
}

/** That one address is found directly on a link. */
function linkRoute(index: number, address: string): Buffer {
  // struct rtmsg: as above, but 32 bits of destination and scope link (253)
  const header = Buffer.from([2, 32, 0, 0, 254, 3, 253, 1, 0, 0, 0, 0]);
  return Buffer.concat([header, attribute(1, ipv4(address)), attribute(4, uint32(index))]);
}

class NetlinkSocket {
  readonly #fd = openSocket(16 /* AF_NETLINK */, 3 /* SOCK_RAW */, 0 /* NETLINK_ROUTE */);
  #sequence = 1;
  #seenIndex = 0;

  close(): void {
    closeFd(this.#fd);
  }

  #encode(messages: Message[]): Buffer {
    return Buffer.concat(
      messages.map(({ type, flags = 0, body }) => {
        const buffer = Buffer.alloc(16 + pad4(body.length));
        buffer.writeUInt32LE(16 + body.length, 0);
        buffer.writeUInt16LE(type, 4);
        buffer.writeUInt16LE(flags | NLM_F_REQUEST | NLM_F_ACK, 6);
        buffer.writeUInt32LE(this.#sequence++, 8);
        body.copy(buffer, 16);
        return buffer;
      }),
    );
  }

  /** The first error of the answers, as a symbol. Each message is answered once, since each asks for an ACK. */
  #answers(count: number): string | undefined {
    const into = Buffer.alloc(32_768);
    let failure = 0;
    for (let answered = 0; answered < count; ) {
      const length = receive(this.#fd, into);
      for (let at = 0; at < length; at += pad4(into.readUInt32LE(at))) {
        const type = into.readUInt16LE(at + 4);
        if (type === RTM.NEWLINK) this.#seenIndex = into.readInt32LE(at + 20);
        if (type !== NLMSG_ERROR) continue;
        answered++;
        failure ||= -into.readInt32LE(at + 16);
      }
    }
    if (failure === 0) return undefined;
    return Object.entries(osConstants.errno).find(([, value]) => value === failure)?.[0] ?? String(failure);
  }

  /** Throws `internal` with what was attempted and the kernel's answer; `details.errno` is the symbol. */
  request(attempt: string, ...messages: Message[]): void {
    send(this.#fd, this.#encode(messages));
    const errno = this.#answers(messages.length);
    if (errno) throw new PlatformError('internal', `could not ${attempt}: ${errno}`, { details: { errno } });
  }

  /** Index of a link in the namespace that the socket was made in. */
  indexOf(name: string): number {
    const body = Buffer.concat([linkHeader(0, false), attribute(IFLA.IFNAME, text(name))]);
    this.request(`find the link ${name}`, { type: RTM.GETLINK, body });
    return this.#seenIndex;
  }

  /** As `request`, sent from a thread; returns the error's symbol. */
  async requestInThread(message: Message): Promise<string | undefined> {
    await sendInThread(this.#fd, this.#encode([message]));
    return this.#answers(1);
  }
}

function withSocket<T>(use: (socket: NetlinkSocket) => T): T {
  const socket = new NetlinkSocket();
  try {
    return use(socket);
  } finally {
    socket.close();
  }
}

/** The link's index, or undefined when there is no such link. */
export function linkIndex(name: string): number | undefined {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'EINVAL')) return undefined;
    throw error;
  }
}

/** Makes a bridge that is up and carries `gateway`. */
export function createBridge(name: string, gateway: string): void {
  withSocket((socket) => {
    socket.request(`make the bridge ${name}`, {
      type: RTM.NEWLINK,
      flags: NLM_F_CREATE_EXCL,
      body: Buffer.concat([
        linkHeader(0, false),
        attribute(IFLA.IFNAME, text(name)),
        // Else it takes the least of its ports' and changes it as they come and go: what containers answer in that
        // moment goes to an address that nobody has, and is sent again 200 ms later.
        attribute(IFLA.ADDRESS, Buffer.concat([LOCAL_ADDRESS_PREFIX, ipv4(gateway)])),
        nested(IFLA.LINKINFO, attribute(1, Buffer.from('bridge'))),
      ]),
    });
    const index = linkIndex(name);
    if (index === undefined)
      throw new PlatformError('internal', `the bridge ${name} vanished as it was made`);
    socket.request(`set up the bridge ${name}`, addressMessage(index, gateway), {
      type: RTM.NEWLINK,
      body: linkHeader(index, true),
    });
  });
}

/** Removes a link; a no-op when it is not there. Takes about 20 ms in the kernel, which a thread waits for. */
export async function deleteLink(name: string): Promise<void> {
  if (linkIndex(name) === undefined) return;
  const socket = new NetlinkSocket();
  try {
    const errno = await socket.requestInThread({
      type: RTM.DELLINK,
      body: Buffer.concat([linkHeader(0, false), attribute(IFLA.IFNAME, text(name))]),
    });
    if (errno && errno !== 'ENODEV') {
      throw new PlatformError('internal', `could not remove the link ${name}: ${errno}`);
    }
  } finally {
    socket.close();
  }
}

/** Takes back what `setUpNetworkNamespace` told the host of an address; a no-op when it is not told, or the bridge is gone. */
export function deleteRoute(address: string, bridge: string): void {
  const index = linkIndex(bridge);
  if (index === undefined) return;
  try {
    withSocket((socket) =>
      socket.request(`remove the route to ${address}`, {
        type: RTM.DELROUTE,
        body: linkRoute(index, address),
      }),
    );
  } catch (error) {
    if (!(error instanceof PlatformError && error.details.errno === 'ESRCH')) throw error;
  }
}

export interface VethAttachment {
  /** A process in the network namespace that gets `eth0`. */
  pid: number;
  hostName: string;
  bridge: string;
  mtu: number;
  address: string;
  gateway: string;
}

/** Opens a netlink socket inside the network namespace of `pid`; the calling thread is back in its own afterwards. */
function openSocketIn(namespaceFd: number): NetlinkSocket {
  const own = openSync('/proc/thread-self/ns/net', 'r');
  try {
    setns(namespaceFd, CLONE_NEWNET);
    try {
      return new NetlinkSocket();
    } finally {
      // A thread that stays in a container's network must not run another line of this process.
      try {
        setns(own, CLONE_NEWNET);
      } catch {
        process.abort();
      }
    }
  } finally {
    closeSync(own);
  }
}

/** Switches on `lo` in the network namespace of `pid` and, when `veth` is given, wires `eth0` to a bridge. */
export function setUpNetworkNamespace(pid: number, veth?: Omit<VethAttachment, 'pid'>): void {
  const namespaceFd = openSync(`/proc/${pid}/ns/net`, 'r');
  try {
    const inside = openSocketIn(namespaceFd);
    try {
      inside.request('switch on lo', { type: RTM.NEWLINK, body: linkHeader(LOOPBACK_INDEX, true) });
      if (veth) wire(namespaceFd, inside, veth);
    } finally {
      inside.close();
    }
  } finally {
    closeSync(namespaceFd);
  }
}

/** The peer is made inside the namespace at once: moving it there later would take ten times as long. */
function wire(namespaceFd: number, inside: NetlinkSocket, veth: Omit<VethAttachment, 'pid'>): void {
  const bridgeIndex = linkIndex(veth.bridge);
  if (bridgeIndex === undefined) throw new PlatformError('internal', `the bridge ${veth.bridge} is gone`);
  const peer = nested(
    1 /* VETH_INFO_PEER */,
    linkHeader(0, false),
    attribute(IFLA.IFNAME, text('eth0')),
    attribute(IFLA.MTU, uint32(veth.mtu)),
    attribute(IFLA.NET_NS_FD, uint32(namespaceFd)),
  );
  withSocket((socket) =>
    socket.request(`make the link ${veth.hostName}`, {
      type: RTM.NEWLINK,
      flags: NLM_F_CREATE_EXCL,
      body: Buffer.concat([
        linkHeader(0, true),
        attribute(IFLA.IFNAME, text(veth.hostName)),
        attribute(IFLA.MTU, uint32(veth.mtu)),
        attribute(IFLA.MASTER, uint32(bridgeIndex)),
        nested(IFLA.LINKINFO, attribute(1, Buffer.from('veth')), nested(2, peer)),
      ]),
    }),
  );
  withSocket((socket) =>
    socket.request(`route ${veth.address} to ${veth.bridge}`, {
      type: RTM.NEWROUTE,
      flags: NLM_F_CREATE_REPLACE,
      body: linkRoute(bridgeIndex, veth.address),
    }),
  );
  const peerIndex = inside.indexOf('eth0');
  inside.request(
    `give eth0 the address ${veth.address}`,
    addressMessage(peerIndex, veth.address),
    { type: RTM.NEWLINK, body: linkHeader(peerIndex, true) },
    { type: RTM.NEWROUTE, flags: NLM_F_CREATE_EXCL, body: linkRoute(peerIndex, veth.gateway) },
    defaultRouteMessage(peerIndex, veth.gateway),
  );
}
