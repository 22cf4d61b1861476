import { describe, expect, it } from 'vitest';
import { createImage } from './create-image.ts';
import { digestOf } from './digest.ts';
import { parseImageConfig, parseManifest } from './image-documents.ts';
import { MEDIA_TYPES } from './media-types.ts';
import { choosePlatform } from './platform.ts';

const DIGEST = digestOf('x');
const descriptor = (more: object = {}) => ({
  mediaType: MEDIA_TYPES.ociLayerGzip,
  digest: DIGEST,
  size: 1,
  ...more,
});
const bytesOf = (document: unknown) => Buffer.from(JSON.stringify(document));
const manifest = { schemaVersion: 2, config: descriptor(), layers: [descriptor()] };
const index = { schemaVersion: 2, manifests: [descriptor()] };

describe('parseManifest', () => {
  it('takes manifests and indexes of both families', () => {
    expect(parseManifest(bytesOf(manifest), MEDIA_TYPES.ociManifest).kind).toBe('manifest');
    expect(
      parseManifest(
        bytesOf({ ...manifest, mediaType: MEDIA_TYPES.dockerManifest }),
        MEDIA_TYPES.dockerManifest,
      ).kind,
    ).toBe('manifest');
    expect(parseManifest(bytesOf(index), MEDIA_TYPES.ociIndex).kind).toBe('index');
    expect(parseManifest(bytesOf(index), MEDIA_TYPES.dockerIndex).kind).toBe('index');
  });

  it.each([
    ['both kinds at once', { ...manifest, ...index }, MEDIA_TYPES.ociManifest, 'invalid_input'],
    ['an index with layers', { ...index, layers: [] }, MEDIA_TYPES.ociIndex, 'invalid_input'],
    [
      'another type than it was served as',
      { ...manifest, mediaType: MEDIA_TYPES.ociIndex },
      MEDIA_TYPES.ociManifest,
      'invalid_input',
    ],
    ['schema 1', { ...manifest, schemaVersion: 1 }, MEDIA_TYPES.ociManifest, 'invalid_input'],
    [
      'a short digest',
      { ...manifest, layers: [descriptor({ digest: 'sha256:0' })] },
      MEDIA_TYPES.ociManifest,
      'invalid_input',
    ],
    [
      'a negative size',
      { ...manifest, layers: [descriptor({ size: -1 })] },
      MEDIA_TYPES.ociManifest,
      'invalid_input',
    ],
    ['a list', [manifest], MEDIA_TYPES.ociManifest, 'invalid_input'],
    [
      'too many layers',
      { ...manifest, layers: Array(501).fill(descriptor()) },
      MEDIA_TYPES.ociManifest,
      'invalid_input',
    ],
    ['an unknown type', manifest, 'text/html', 'unsupported'],
    [
      'too many bytes',
      { ...manifest, annotations: { x: 'y'.repeat(5 << 20) } },
      MEDIA_TYPES.ociManifest,
      'too_large',
    ],
  ])('refuses %s', (_name, document, mediaType, code) => {
    expect(() => parseManifest(bytesOf(document), mediaType)).toThrow(expect.objectContaining({ code }));
  });

  it('refuses bytes that are not JSON or not UTF-8', () => {
    for (const bytes of [Buffer.from('{'), Buffer.from([0x22, 0xff, 0x22])]) {
      expect(() => parseManifest(bytes, MEDIA_TYPES.ociManifest)).toThrow(
        expect.objectContaining({ code: 'invalid_input' }),
      );
    }
  });
});

describe('choosePlatform', () => {
  const on = (architecture: string, variant?: string, os = 'linux') =>
    descriptor({ size: 7, platform: { os, architecture, variant } });

  it('takes linux on the architecture, in its base variant', () => {
    const manifests = [on('amd64', undefined, 'windows'), on('arm64', 'v9'), on('arm64', 'v8'), on('amd64')];
    expect(choosePlatform({ schemaVersion: 2, manifests }, 'amd64')).toBe(manifests[3]);
    expect(choosePlatform({ schemaVersion: 2, manifests }, 'arm64')).toBe(manifests[2]);
  });

  it('says what there is instead', () => {
    const manifests = [on('s390x'), on('amd64', undefined, 'windows')];
    expect(() => choosePlatform({ schemaVersion: 2, manifests }, 'amd64')).toThrow(
      expect.objectContaining({ code: 'not_found', hint: 'It offers: linux/s390x, windows/amd64.' }),
    );
  });
});

describe('createImage', () => {
  const layers = [
    { digest: digestOf('a'), diffId: digestOf('b'), sizeBytes: 10, createdBy: 'base' },
    { digest: digestOf('c'), diffId: digestOf('d'), sizeBytes: 20 },
  ];
  const config = { User: '1000:1000', Env: ['A=b'], WorkingDir: '/workspace' };
  const image = createImage({
    layers,
    architecture: 'amd64',
    config,
    created: 86_400,
    annotations: { a: 'b' },
  });

  it('makes documents that parse, with history and diff ids', () => {
    const parsed = parseManifest(image.manifest.bytes, image.manifest.mediaType);
    if (parsed.kind !== 'manifest') throw new Error('not a manifest');
    expect(parsed.manifest.layers.map(({ digest, size }) => [digest, size])).toEqual([
      [digestOf('a'), 10],
      [digestOf('c'), 20],
    ]);
    expect(parsed.manifest.config.digest).toBe(digestOf(image.config.bytes));
    expect(image.manifest.digest).toBe(digestOf(image.manifest.bytes));
    const made = parseImageConfig(image.config.bytes);
    expect(made).toMatchObject({
      architecture: 'amd64',
      os: 'linux',
      created: '1970-01-02T00:00:00Z',
      config,
    });
    expect(made.rootfs.diff_ids).toEqual([digestOf('b'), digestOf('d')]);
    expect(made.history?.map((step) => step.created_by)).toEqual(['base', 'gantry']);
  });

  it('makes the same bytes of the same input', () => {
    expect(
      createImage({ layers, architecture: 'amd64', config, created: 86_400, annotations: { a: 'b' } }),
    ).toEqual(image);
  });

  it('refuses what is no digest or no time', () => {
    const broken = [{ digest: 'x', diffId: digestOf('b'), sizeBytes: 1 }];
    expect(() => createImage({ layers: broken, architecture: 'amd64', config, created: 0 })).toThrow(
      expect.objectContaining({ code: 'invalid_input' }),
    );
    expect(() => createImage({ layers, architecture: 'amd64', config, created: 1.5 })).toThrow(
      expect.objectContaining({ code: 'invalid_input' }),
    );
  });
});
