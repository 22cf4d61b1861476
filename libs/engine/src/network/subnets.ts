import { createHash } from 'node:crypto';

/** Addresses that no public network uses (RFC 6598), so that they rarely clash with a company's own. */
const POOL_START = ipv4Number('100.64.0.0');
export const PREFIX_LENGTH = 22;
/** 1,022 hosts: as many as a bridge has ports. */
export const SUBNET_SIZE = 2 ** (32 - PREFIX_LENGTH);
const POOL_SUBNETS = 2 ** (PREFIX_LENGTH - 10);

/** First and last address, as numbers. */
export interface AddressRange {
  first: number;
  last: number;
}

export function ipv4Number(address: string): number {
  return address.split('.').reduce((number, part) => number * 256 + Number(part), 0);
}

export function ipv4Text(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}

/** `10.1.2.0/24` or `10.1.2.3`; undefined for `default` and whatever else is no IPv4 network. */
export function parseRange(text: string): AddressRange | undefined {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3})(?:\/(\d{1,2}))?$/.exec(text);
  if (!match?.[1]) return undefined;
  const size = 2 ** (32 - Number(match[2] ?? 32));
  if (size >= 2 ** 32) return undefined;
  const first = Math.floor(ipv4Number(match[1]) / size) * size;
  return { first, last: first + size - 1 };
}

/**
 * A free subnet of 100.64.0.0/10 for an organization: from a place that depends on installation and organization, so that
 * two installations rarely try the same one, on to the first that overlaps nothing `taken`. Undefined when all are.
 */
export function chooseSubnet(seed: string, taken: readonly AddressRange[]): number | undefined {
  const start = createHash('sha256').update(seed).digest().readUInt32BE(0) % POOL_SUBNETS;
  for (let step = 0; step < POOL_SUBNETS; step++) {
    const first = POOL_START + ((start + step) % POOL_SUBNETS) * SUBNET_SIZE;
    const last = first + SUBNET_SIZE - 1;
    if (!taken.some((range) => range.first <= last && range.last >= first)) return first;
  }
  return undefined;
}

/** The next free host after `after`, wrapping round: an address is not given again soon after it was let go. */
export function nextAddress(subnet: number, used: ReadonlySet<number>, after: number): number | undefined {
  const firstHost = 2; // 0 is the network, 1 the bridge
  const hosts = SUBNET_SIZE - 1 - firstHost;
  const start = Math.max(0, after - subnet - firstHost + 1);
  for (let step = 0; step < hosts; step++) {
    const address = subnet + firstHost + ((start + step) % hosts);
    if (!used.has(address)) return address;
  }
  return undefined;
}
