import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { PlatformError } from '#libs/errors';

/**
 * Where a registry that a stranger names may be: `outside` leaves out this machine, its containers and link-local
 * addresses, where clouds keep credentials. Private networks stay in reach: that is where companies have registries.
 */
export type RegistryReach = 'anywhere' | 'outside';

const NOT_OUTSIDE = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['100.64.0.0', 10], // containers' own (RFC 6598)
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['192.0.0.0', 24],
  ['224.0.0.0', 3], // multicast, reserved, broadcast
] as const) {
  NOT_OUTSIDE.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  ['::', 127], // unspecified and loopback
  ['fd00:ec2::', 32], // a cloud's metadata service
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  NOT_OUTSIDE.addSubnet(network, prefix, 'ipv6');
}
/** IPv6 forms of IPv4 addresses: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056). */
const EMBEDDED = [
  { network: '::ffff:0:0', prefix: 96 },
  { network: '64:ff9b::', prefix: 96 },
  { network: '2002::', prefix: 16 },
];
const EMBEDDING = new BlockList();
for (const { network, prefix } of EMBEDDED) EMBEDDING.addSubnet(network, prefix, 'ipv6');

/** Whether an IP address is outside of this machine and what belongs to it. */
export function isOutside(address: string): boolean {
  if (isIP(address) === 4) return !NOT_OUTSIDE.check(address, 'ipv4');
  // Nobody reaches a registry by these by chance; refusing them all spares taking them apart.
  return isIP(address) === 6 && !NOT_OUTSIDE.check(address, 'ipv6') && !EMBEDDING.check(address, 'ipv6');
}

function refusal(name: string, address: string): PlatformError {
  const where = name === address ? name : `${name} (${address})`;
  return new PlatformError(
    'forbidden',
    `no image is fetched from ${where}: it is part of this machine or its surroundings`,
    {
      hint: "Push the image to the platform's own registry, or to one that is reached by another address.",
    },
  );
}

/** Throws `forbidden` when the host of `url` is an address that is not outside; names are judged when they are looked up. */
export function assertOutside(url: URL): void {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && !isOutside(host)) throw refusal(host, host);
}

/** A look-up for sockets that fails with `forbidden` when a name leads to an address that is not outside. */
export const lookupOutside: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
    if (error) return callback(error, '');
    const inside = found.find(({ address }) => !isOutside(address));
    const [first] = found;
    if (inside || !first) return callback(refusal(hostname, inside?.address ?? 'no address'), '');
    if (options.all) callback(null, found);
    else callback(null, first.address, first.family);
  });
};
