import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemExec } from '#libs/host';
import { createImage, createLayer, RegistryClient } from '#libs/oci';
import {
  authorizeByPassword,
  type ServedRegistry,
  serveRegistry,
} from '../../integration/registry/serve-registry.ts';

// Needs the Debian package skopeo: without it these tests fail, as they should.

let registry: ServedRegistry;
let folder: string;
let digest: string;
const skopeo = (...args: string[]) =>
  systemExec.run('skopeo', args, { env: { PATH: process.env.PATH, HOME: folder } });
const login = '--creds=anyone:alice';
const image = (name: string) => `docker://${registry.host}/${name}`;

beforeAll(async () => {
  await systemExec.run('skopeo', ['--version']);
  registry = await serveRegistry({ authorize: authorizeByPassword });
  folder = await mkdtemp(path.join(tmpdir(), 'gantry-skopeo-'));
  const source = path.join(folder, 'source');
  await mkdir(source);
  await writeFile(path.join(source, 'file'), randomBytes(2_000_000));
  const output = path.join(folder, 'layer.tar.gz');
  const entries = [{ source, prefix: '/workspace', uid: 1000, gid: 1000 }];
  const layer = await createLayer({ entries, mtime: 0, output, exec: systemExec });
  const made = createImage({
    layers: [layer],
    architecture: 'amd64',
    config: { User: '1000:1000' },
    created: 0,
  });
  const client = new RegistryClient({
    registry: registry.host,
    insecure: true,
    auth: { username: 'x', password: 'alice' },
  });
  const blobs = [{ digest: layer.digest, sizeBytes: layer.sizeBytes, open: () => createReadStream(output) }];
  for (const blob of blobs) await client.pushBlob({ repository: 'alice/app', ...blob });
  const config = path.join(folder, 'config.json');
  await writeFile(config, made.config.bytes);
  const open = () => createReadStream(config);
  await client.pushBlob({
    repository: 'alice/app',
    digest: made.config.digest,
    sizeBytes: made.config.bytes.length,
    open,
  });
  await client.pushManifest({ repository: 'alice/app', reference: 'v1', ...made.manifest });
  await client.close();
  digest = made.manifest.digest;
});
afterAll(async () => {
  await registry.close();
  await rm(folder, { recursive: true });
});

it('inspects an image that Gantry made', async () => {
  const { stdout } = await skopeo('inspect', '--tls-verify=false', login, image('alice/app:v1'));
  expect(JSON.parse(stdout)).toMatchObject({ Digest: digest, Architecture: 'amd64', RepoTags: ['v1'] });
});

it('copies it within the registry, to a folder and back, all digests as they were', async () => {
  const plain = [
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
    '--src-creds=x:alice',
    '--dest-creds=x:alice',
  ];
  await skopeo('copy', '--preserve-digests', ...plain, image('alice/app:v1'), image('shared/base:copy'));
  const layout = `oci:${path.join(folder, 'layout')}:v1`;
  await skopeo(
    'copy',
    '--preserve-digests',
    '--src-tls-verify=false',
    '--src-creds=x:alice',
    image('shared/base:copy'),
    layout,
  );
  const index = JSON.parse(await readFile(path.join(folder, 'layout', 'index.json'), 'utf8'));
  expect(index.manifests[0].digest).toBe(digest);
  await skopeo(
    'copy',
    '--preserve-digests',
    '--dest-tls-verify=false',
    '--dest-creds=x:alice',
    layout,
    image('shared/base:back'),
  );
  const { stdout } = await skopeo('list-tags', '--tls-verify=false', login, image('shared/base'));
  expect(JSON.parse(stdout).Tags).toEqual(['back', 'copy']);
});

it('pushes Docker schema 2 and reads it back', async () => {
  const plain = [
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
    '--src-creds=x:alice',
    '--dest-creds=x:alice',
  ];
  await skopeo('copy', '--format=v2s2', ...plain, image('alice/app:v1'), image('shared/base:docker'));
  const { stdout } = await skopeo(
    'inspect',
    '--raw',
    '--tls-verify=false',
    login,
    image('shared/base:docker'),
  );
  expect(JSON.parse(stdout).mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json');
});

it('deletes an image', async () => {
  const plain = [
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
    '--src-creds=x:alice',
    '--dest-creds=x:alice',
  ];
  await skopeo('copy', '--format=v2s2', ...plain, image('alice/app:v1'), image('shared/base:gone'));
  await skopeo('delete', '--tls-verify=false', login, image('shared/base:gone'));
  await expect(skopeo('inspect', '--tls-verify=false', login, image('shared/base:gone'))).rejects.toThrow(
    /manifest unknown/,
  );
});

it('is turned away without a login and with the wrong one', async () => {
  await expect(skopeo('inspect', '--tls-verify=false', image('alice/app:v1'))).rejects.toThrow(
    /authentication required|unauthorized/i,
  );
  await expect(
    skopeo('inspect', '--tls-verify=false', '--creds=x:bob', image('alice/app:v1')),
  ).rejects.toThrow(/denied/i);
});
