import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseSubnet, ipv4Number, ipv4Text, nextAddress, parseRange, SUBNET_SIZE } from './subnets.ts';

describe('addresses', () => {
  it('go to numbers and back', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (n) => ipv4Number(ipv4Text(n)) === n));
  });

  it('are read from what `ip route` prints', () => {
    expect(parseRange('10.1.2.3/24')).toEqual({
      first: ipv4Number('10.1.2.0'),
      last: ipv4Number('10.1.2.255'),
    });
    expect(parseRange('100.64.0.1')).toEqual({
      first: ipv4Number('100.64.0.1'),
      last: ipv4Number('100.64.0.1'),
    });
    expect(parseRange('default')).toBeUndefined();
    expect(parseRange('0.0.0.0/0')).toBeUndefined();
  });
});

describe('chooseSubnet', () => {
  it('stays in 100.64.0.0/10 and overlaps nothing that is taken', () => {
    const ranges = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 2 ** 22 }), fc.integer({ min: 0, max: 2 ** 21 })),
    );
    fc.assert(
      fc.property(fc.string(), ranges, (seed, offsets) => {
        const pool = ipv4Number('100.64.0.0');
        const taken = offsets.map(([at, size]) => ({ first: pool + at, last: pool + at + size }));
        const first = chooseSubnet(seed, taken);
        if (first === undefined) return true;
        const last = first + SUBNET_SIZE - 1;
        return first >= pool && last < pool + 2 ** 22 && taken.every((t) => t.last < first || t.first > last);
      }),
    );
  });

  it('says so when all is taken', () => {
    const all = { first: ipv4Number('100.0.0.0'), last: ipv4Number('101.0.0.0') };
    expect(chooseSubnet('x', [all])).toBeUndefined();
  });

  it('begins elsewhere for another installation', () => {
    expect(chooseSubnet('gtaaaaa org', [])).not.toBe(chooseSubnet('gtbbbbb org', []));
  });
});

describe('nextAddress', () => {
  const subnet = ipv4Number('100.64.4.0');

  it('gives every host once, neither the network, the bridge nor the broadcast address, then none', () => {
    const used = new Set<number>();
    for (let last = subnet; ; ) {
      const address = nextAddress(subnet, used, last);
      if (address === undefined) break;
      expect(used.has(address)).toBe(false);
      used.add(address);
      last = address;
    }
    expect(used.size).toBe(SUBNET_SIZE - 3);
    for (const never of [0, 1, SUBNET_SIZE - 1]) expect(used.has(subnet + never)).toBe(false);
  });

  it('does not give an address again at once', () => {
    const first = nextAddress(subnet, new Set(), subnet) ?? 0;
    expect(nextAddress(subnet, new Set(), first)).toBe(first + 1);
  });
});
