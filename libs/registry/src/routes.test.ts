import { describe, expect, it } from 'vitest';
import { parseRoute } from './routes.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('parseRoute', () => {
  it.each([
    ['/v2/', { kind: 'base' }],
    ['/v2', { kind: 'base' }],
    ['/v2/a/b/manifests/v1', { kind: 'manifest', repository: 'a/b', reference: 'v1' }],
    [`/v2/a/blobs/${DIGEST}`, { kind: 'blob', repository: 'a', digest: DIGEST }],
    [`/v2/a/blobs/${encodeURIComponent(DIGEST)}`, { kind: 'blob', repository: 'a', digest: DIGEST }],
    ['/v2/a/blobs/uploads/', { kind: 'uploads', repository: 'a' }],
    ['/v2/a/blobs/uploads?mount=x', { kind: 'uploads', repository: 'a' }],
    ['/v2/a/blobs/uploads/id', { kind: 'upload', repository: 'a', id: 'id' }],
    ['/v2/a/tags/list?n=3', { kind: 'tags', repository: 'a' }],
    ['/v2/a/manifests/manifests/v1', { kind: 'manifest', repository: 'a/manifests', reference: 'v1' }],
    [`/v2/a/referrers/${DIGEST}`, { kind: 'referrers', repository: 'a', digest: DIGEST }],
  ])('%s', (target, route) => {
    expect(parseRoute(target).route).toEqual(route);
  });

  it.each([
    '/v2/../../etc/manifests/v1',
    '/v2/a%2f..%2f..%2fetc/manifests/v1',
    '/v2/A/manifests/v1',
    '/v2/_uploads/manifests/v1',
    `/v2/${'a'.repeat(300)}/manifests/v1`,
    '/v2/a%00b/tags/list',
    '/v2/%ff/tags/list',
    `/v2/${'a/'.repeat(3000)}tags/list`,
    '/v2/a',
    '/v1/',
  ])('refuses %s', (target) => {
    expect(() => parseRoute(target)).toThrow();
  });
});
