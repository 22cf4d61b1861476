import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemExec } from '#libs/host';
import { applyLayer } from '#libs/oci';
import { serveRegistry } from '../registry/serve-registry.ts';

const MIB = 2 ** 20;
let folder: string;
/** A disk of its own, small enough to be filled: 320 MiB, of which 256 are kept for the platform. */
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'gantry-disk-'));
  await systemExec.run('mount', ['-t', 'tmpfs', '-o', `size=${320 * MIB}`, 'gantry-test', folder]);
});
afterAll(async () => {
  await systemExec.run('umount', ['--lazy', folder]);
  await rm(folder, { recursive: true });
});

async function freeMiB(): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return Math.floor((bavail * bsize) / MIB);
}

/** A tar with one file of zeros, in some hundred kilobytes of gzip. */
async function bomb(bytes: number): Promise<Buffer> {
  const tree = path.join(folder, 'tree');
  await mkdir(tree);
  await systemExec.run('truncate', ['-s', String(bytes), path.join(tree, 'zeros')]);
  const child = systemExec.spawn('tar', ['-cf', '-', '-C', tree, '.'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout ?? []) chunks.push(chunk as Buffer);
  await rm(tree, { recursive: true });
  return gzipSync(Buffer.concat(chunks), { level: 1 });
}

it('unpacks no layer into the part of the disk that the platform itself lives on', async () => {
  const layer = await bomb(200 * MIB);
  expect(layer.length).toBeLessThan(2 * MIB);
  const target = path.join(folder, 'layer');
  await mkdir(target);
  await expect(
    applyLayer({
      tar: Readable.from([layer], { objectMode: false }),
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      target,
      exec: systemExec,
    }),
  ).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('disk') });
  expect(await freeMiB()).toBeGreaterThan(180);
  await rm(target, { recursive: true });
});

it('takes no upload into it either, and says so in the words of the distribution spec', async () => {
  const registry = await serveRegistry({ parent: folder });
  try {
    const bytes = Buffer.alloc(200 * MIB);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const response = await fetch(`http://${registry.host}/v2/app/x/blobs/uploads/?digest=${digest}`, {
      method: 'POST',
      body: bytes,
    }).catch((error: unknown) => error);
    if (response instanceof Response) {
      expect(response.status).toBe(503);
      expect(await response.text()).toContain('UNAVAILABLE');
    }
    expect(await freeMiB()).toBeGreaterThan(180);
  } finally {
    await registry.close();
  }
});
