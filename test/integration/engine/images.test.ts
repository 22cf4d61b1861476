import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { Readable } from 'node:stream';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Image } from '#libs/engine';
import { systemExec } from '#libs/host';
import { type Fixture, makeFixture, testLayer } from './engine-fixture.ts';

const digestOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

interface Layer {
  diffId: string;
  blob: Buffer;
}

/** Just enough of a registry (OCI distribution spec, pull): what it holds, and what it was asked for. */
class TestRegistry {
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, Buffer>();
  readonly asked: string[] = [];
  #server: Server | undefined;

  async listen(): Promise<string> {
    this.#server = createServer((request, response) => {
      const [, kind = '', name = ''] = /\/(manifests|blobs)\/([^/]+)$/.exec(request.url ?? '') ?? [];
      this.asked.push(`${kind} ${name}`);
      const body = (kind === 'manifests' ? this.manifests : this.blobs).get(name);
      if (!body)
        return void response.writeHead(404, { 'content-type': 'application/json' }).end('{"errors":[]}');
      const type = kind === 'manifests' ? MANIFEST : 'application/octet-stream';
      response.writeHead(200, { 'content-type': type, 'content-length': body.length }).end(body);
    });
    await new Promise<void>((resolve) => this.#server?.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  async close(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  /** Adds an image; returns its manifest's digest. */
  add(tag: string, layers: Layer[], config: object = {}): string {
    const descriptor = (mediaType: string, bytes: Buffer) => {
      this.blobs.set(digestOf(bytes), bytes);
      return { mediaType, digest: digestOf(bytes), size: bytes.length };
    };
    const document = {
      ...{ architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux', config },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    };
    const manifest = {
      ...{ schemaVersion: 2, mediaType: MANIFEST },
      config: descriptor('application/vnd.oci.image.config.v1+json', Buffer.from(JSON.stringify(document))),
      layers: layers.map(({ blob }) => descriptor('application/vnd.oci.image.layer.v1.tar+gzip', blob)),
    };
    const bytes = Buffer.from(JSON.stringify(manifest));
    this.manifests.set(tag, bytes);
    this.manifests.set(digestOf(bytes), bytes);
    return digestOf(bytes);
  }
}

let f: Fixture;
let base: Layer;
let registry: TestRegistry;
let host: string;
let madeLayers = 0;

/** A layer of small files; names beginning with `.wh.` are whiteouts (OCI image spec, layer.md). */
async function layerOf(files: Record<string, string>): Promise<Layer> {
  const folder = `${f.root}/tree-${madeLayers++}`;
  for (const [name, text] of Object.entries(files)) {
    await mkdir(`${folder}/${name}`.replace(/\/[^/]+$/, ''), { recursive: true });
    await writeFile(`${folder}/${name}`, text);
  }
  await systemExec.run('tar', ['--numeric-owner', '-cf', `${folder}.tar`, '-C', folder, '.']);
  const tar = await readFile(`${folder}.tar`);
  return { diffId: digestOf(tar), blob: gzipSync(tar) };
}

beforeAll(async () => {
  f = await makeFixture();
  const { tar, diffId } = await testLayer();
  base = { diffId, blob: gzipSync(await readFile(tar), { level: 1 }) };
});
afterAll(() => f?.dispose());
beforeEach(async () => {
  registry = new TestRegistry();
  host = await registry.listen();
});
afterEach(() => registry.close());

const pull = (name: string): Promise<Image> =>
  f.engine.pull({ reference: `${host}/${name}`, insecure: true });

it('pulls an image, runs it as it says, and knows it by digest from then on', async () => {
  const upper = await layerOf({ 'workspace/app.txt': 'from the image' });
  const config = {
    User: 'app',
    Env: ['A=1'],
    Cmd: ['cat', 'app.txt'],
    WorkingDir: '/workspace',
    StopSignal: 'SIGINT',
  };
  const digest = registry.add('v1', [base, upper], config);
  const image = await pull('org/app:v1');
  expect(image).toMatchObject({
    digest,
    layers: [base.diffId, upper.diffId],
    config: { user: 'app', env: ['A=1'], cmd: ['cat', 'app.txt'], entrypoint: [], stopSignal: 'SIGINT' },
  });
  expect(registry.asked).not.toContain(`blobs ${digestOf(base.blob)}`); // the fixture has that layer already
  expect(await f.engine.findImage(digest)).toEqual(image);
  const asked = registry.asked.length;
  expect(await pull(`org/app@${digest}`)).toEqual(image);
  expect(registry.asked.length).toBe(asked);
  const spec = f.spec('inst_app', '', {
    layers: image.layers,
    argv: image.config.cmd,
    workingDir: '/workspace',
  });
  expect((await f.run(spec)).output).toBe('from the image');
  await f.engine.remove('inst_app');
});

it('fetches a layer once, however many images and callers want it at once', async () => {
  const [common, one, two] = [
    await layerOf({ c: 'common' }),
    await layerOf({ a: '1' }),
    await layerOf({ b: '2' }),
  ];
  registry.add('one', [common, one]);
  registry.add('two', [common, two]);
  await Promise.all(['one', 'two', 'one', 'two'].map((tag) => pull(`org/app:${tag}`)));
  for (const layer of [common, one, two]) {
    expect(registry.asked.filter((line) => line === `blobs ${digestOf(layer.blob)}`)).toHaveLength(1);
  }
});

it('shows what a layer deleted as deleted: files and whole folders', async () => {
  const lower = await layerOf({ 'd/keep': '1', 'd/gone': '2', 'e/old': '3', 'e/older': '4' });
  const upper = await layerOf({ 'd/.wh.gone': '', 'e/.wh..wh..opq': '', 'e/new': '5' });
  registry.add('wh', [base, lower, upper]);
  const { layers } = await pull('org/app:wh');
  expect((await f.run(f.spec('inst_wh', 'ls /d /e', { layers }))).output).toBe('/d:\nkeep\n\n/e:\nnew');
  await f.engine.remove('inst_wh');
});

it('refuses layers that are not what the image says, and keeps nothing of them', async () => {
  const layer = await layerOf({ x: 'true bytes' });
  const before = await readdir(`${f.root}/engine/layers`);
  registry.add('swapped', [layer]);
  registry.blobs.set(digestOf(layer.blob), (await layerOf({ x: 'evil bytes' })).blob);
  await expect(pull('org/app:swapped')).rejects.toThrow();
  const other = await layerOf({ y: 'other' });
  const digest = registry.add('lying', [{ diffId: layer.diffId, blob: other.blob }]);
  await expect(pull('org/app:lying')).rejects.toMatchObject({ code: 'invalid_input' });
  expect(await f.engine.findImage(digest)).toBeUndefined();
  await expect(pull('org/app:absent')).rejects.toMatchObject({ code: 'not_found' });
  const claimed = `sha256:${'1'.repeat(64)}`;
  await expect(f.engine.importLayer(claimed, Readable.from(Buffer.alloc(1024)))).rejects.toMatchObject({
    code: 'invalid_input',
  });
  expect(await readdir(`${f.root}/engine/layers`)).toEqual(before);
});

it('prunes what nobody needs: neither an image to keep, nor a container, nor the caller', async () => {
  const [kept, used, loose] = [
    await layerOf({ k: 'k' }),
    await layerOf({ u: 'u' }),
    await layerOf({ l: 'l' }),
  ];
  const named = await layerOf({ n: 'n' });
  registry.add('keep', [kept]);
  registry.add('drop', [base, used, loose]);
  const image = await pull('org/app:keep');
  const dropped = await pull('org/app:drop');
  await f.engine.importLayer(named.diffId, Readable.from(gunzipSync(named.blob)));
  await f.engine.create(f.spec('inst_user', 'true', { layers: [base.diffId, used.diffId] }));
  await f.engine.prune(new Set([image.digest, named.diffId]));
  expect(await f.engine.hasLayer(kept.diffId)).toBe(true);
  expect(await f.engine.hasLayer(used.diffId)).toBe(true);
  expect(await f.engine.hasLayer(named.diffId)).toBe(true);
  expect(await f.engine.hasLayer(loose.diffId)).toBe(false);
  expect(await f.engine.findImage(dropped.digest)).toBeUndefined();
  await f.engine.remove('inst_user');
  expect((await f.engine.prune(new Set([image.digest, base.diffId]))).layersRemoved).toBeGreaterThanOrEqual(
    1,
  );
  expect(await f.engine.hasLayer(used.diffId)).toBe(false);
  expect(await f.engine.hasLayer(base.diffId)).toBe(true);
});

it('shares layers between the installations of a machine, and lets none prune them', async () => {
  const sharedLayers = `${f.root}/shared`;
  const [first, second] = await Promise.all([makeFixture({ sharedLayers }), makeFixture({ sharedLayers })]);
  try {
    const layer = await layerOf({ 'etc/base': 'shared' });
    const tar = () => Readable.from(gunzipSync(layer.blob));
    const both = [first, second].map(({ engine }) =>
      engine.importLayer(layer.diffId, tar(), { share: true }),
    );
    await Promise.all(both);
    expect(await readdir(sharedLayers)).toEqual([layer.diffId.slice('sha256:'.length)]);
    await first.engine.prune(new Set());
    const spec = second.spec('inst_shared', 'cat /etc/base', { layers: [second.layer, layer.diffId] });
    expect((await second.run(spec)).output).toBe('shared');
  } finally {
    await first.dispose();
    await second.dispose();
  }
});

it('removes layers that a crash left unfinished', async () => {
  const rest = `${f.root}/engine/layers/new-${'a'.repeat(64)}-12345678`;
  await mkdir(`${rest}/some/where`, { recursive: true });
  await f.engine.close();
  f.engine = await f.open();
  expect(await readdir(`${f.root}/engine/layers`)).not.toContain(rest.split('/').pop());
  await rm(rest, { recursive: true, force: true });
});

it('gives an organization no layer for knowing its name: it has to bring the content, by import or from a registry', async () => {
  const secret = await layerOf({ 'workspace/secret': 'of A' });
  const tar = gunzipSync(secret.blob);
  await f.engine.importLayer(secret.diffId, Readable.from(tar), { holder: 'org_a' });
  const read = async (organizationId: string) => {
    const layers = [base.diffId, secret.diffId];
    try {
      return (await f.run(f.spec('inst_reads', 'cat /workspace/secret', { layers, organizationId }))).output;
    } finally {
      await f.engine.remove('inst_reads');
    }
  };
  expect(await read('org_a')).toBe('of A');
  await expect(read('org_b')).rejects.toMatchObject({ code: 'not_found' });

  // An image of B's own registry that claims A's layer, with other bytes behind it.
  const holder = 'org_b';
  registry.add('claim', [base, { diffId: secret.diffId, blob: gzipSync(Buffer.alloc(1024)) }]);
  await expect(
    f.engine.pull({ reference: `${host}/b/app:claim`, insecure: true, holder }),
  ).rejects.toMatchObject({ code: 'invalid_input' });
  await expect(read('org_b')).rejects.toMatchObject({ code: 'not_found' });

  const digest = registry.add('true', [base, secret]);
  await f.engine.pull({ reference: `${host}/b/app:true`, insecure: true, holder });
  expect(await f.engine.findImage(digest, 'org_b')).toBeDefined();
  expect(await f.engine.findImage(digest, 'org_c')).toBeUndefined();
  expect(await read('org_b')).toBe('of A');
});

it('lets nobody wait for the registry of another organization', async () => {
  const layer = await layerOf({ 'workspace/public': 'text' });
  const endless = new Readable({ read() {} });
  const stuck = f.engine.importLayer(layer.diffId, endless, { holder: 'org_slow' });
  stuck.catch(() => {});
  await f.engine.importLayer(layer.diffId, Readable.from(gunzipSync(layer.blob)), { holder: 'org_fast' });
  endless.destroy(new Error('gave up'));
  await expect(stuck).rejects.toThrow();
  expect(await f.engine.hasLayer(layer.diffId)).toBe(true);
});
