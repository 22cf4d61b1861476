import { afterEach, describe, expect, it } from 'vitest';
import type { RouteTable } from '#libs/contract';
import { Deadlines } from './deadlines.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { RouteMap } from './route-map.ts';

const deadlines = new Deadlines();
afterEach(() => deadlines.stop());

const table = (version: number, hosts: Record<string, string[]>): RouteTable => ({
  version,
  routes: Object.entries(hosts).map(([host, instances]) => ({
    host,
    app: { id: 'app_00000000000000000000', slug: 'shop' },
    service: 'web',
    state: 'serving',
    targets: instances.map((instance) => ({ instance, host: '10.0.0.1', port: 8080 })),
  })),
});

function mapOf(onLetGo?: () => void): RouteMap {
  return new RouteMap({ limits: DEFAULT_LIMITS, deadlines }, onLetGo);
}

describe('RouteMap', () => {
  it('finds by normalised host and forgets hosts that left', () => {
    const map = mapOf();
    map.apply(table(1, { 'Shop.Test': ['i1'] }));
    expect(map.find('shop.test')?.targets[0]?.instance).toBe('i1');
    map.apply(table(2, {}));
    expect(map.find('shop.test')).toBeUndefined();
    expect(map.version).toBe(2);
  });

  it('keeps a target that stays, with its count, also when it moves between hosts', () => {
    const map = mapOf();
    map.apply(table(1, { a: ['i1'] }));
    const before = map.find('a')?.targets[0];
    before?.begin();
    map.apply(table(2, { b: ['i1', 'i2'] }));
    expect(map.find('b')?.targets[0]).toBe(before);
    expect(map.busy()).toEqual([]);
  });

  it('is busy with a removed instance until its last request ends', () => {
    let letGo = 0;
    const map = mapOf(() => letGo++);
    map.apply(table(1, { a: ['i1', 'i2'] }));
    const [first] = map.find('a')?.targets ?? [];
    first?.begin();
    first?.begin();
    map.apply(table(2, {}));
    expect(map.busy()).toEqual(['i1']);
    first?.end();
    expect([map.busy(), letGo]).toEqual([['i1'], 0]);
    first?.end();
    expect([map.busy(), letGo]).toEqual([[], 1]);
  });
});
