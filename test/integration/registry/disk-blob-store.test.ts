import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { digestOf } from '#libs/oci';
import { DiskBlobStore } from '#libs/registry';
import { blobStoreContract } from './blob-store-contract.ts';

blobStoreContract('DiskBlobStore', (folder) => new DiskBlobStore(folder));

it('removes what a crash left half written', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'gantry-blobs-'));
  try {
    await mkdir(path.join(root, 'tmp'));
    await writeFile(path.join(root, 'tmp', 'half'), 'hal');
    await new DiskBlobStore(root).put(digestOf('x'), Readable.from([Buffer.from('x')]));
    expect(await readdir(path.join(root, 'tmp'))).toEqual([]);
  } finally {
    await rm(root, { recursive: true });
  }
});
