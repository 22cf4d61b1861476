import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '#libs/registry';

const digestOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const streamOf = (...chunks: Buffer[]) => Readable.from(chunks, { objectMode: false });
const HELLO = Buffer.from('hello, blob');

/** What every BlobStore has to hold. `make` gets an empty folder for its own use. */
export function blobStoreContract(name: string, make: (folder: string) => BlobStore): void {
  describe(`${name} keeps the contract of a blob store`, () => {
    let folder: string;
    let store: BlobStore;
    beforeEach(async () => {
      folder = await mkdtemp(path.join(tmpdir(), 'gantry-blobs-'));
      store = make(path.join(folder, 'store'));
    });
    afterEach(() => rm(folder, { recursive: true }));
    const read = async (digest: string, range?: { first: number; last: number }) =>
      Buffer.concat(await (await store.get(digest, range)).toArray()).toString();
    const listed = () => digestsOf(store);

    it('gives back what was put, whole and in parts', async () => {
      const info = await store.put(digestOf(HELLO), streamOf(HELLO.subarray(0, 3), HELLO.subarray(3)));
      expect(info).toMatchObject({ digest: digestOf(HELLO), sizeBytes: HELLO.length });
      expect(await store.has(digestOf(HELLO))).toEqual(info);
      expect(await read(digestOf(HELLO))).toBe('hello, blob');
      expect(await read(digestOf(HELLO), { first: 7, last: 9 })).toBe('blo');
    });

    it('keeps the empty blob', async () => {
      const empty = digestOf(Buffer.alloc(0));
      await store.put(empty, streamOf());
      expect(await read(empty)).toBe('');
    });

    it('knows nothing of a blob that was never put', async () => {
      expect(await store.has(digestOf(HELLO))).toBeUndefined();
      await expect(store.get(digestOf(HELLO))).rejects.toMatchObject({ code: 'not_found' });
      expect(await store.delete(digestOf(HELLO))).toBe(false);
      expect(await listed()).toEqual([]);
    });

    it('refuses bytes of another digest and keeps none of them', async () => {
      const other = digestOf(Buffer.from('other'));
      await expect(store.put(other, streamOf(HELLO))).rejects.toMatchObject({ code: 'invalid_input' });
      expect(await store.has(other)).toBeUndefined();
      expect(await store.has(digestOf(HELLO))).toBeUndefined();
      expect(await listed()).toEqual([]);
    });

    it('keeps nothing of a stream that fails', async () => {
      const broken = Readable.from(
        (function* () {
          yield HELLO;
          throw new Error('the line went dead');
        })(),
        { objectMode: false },
      );
      await expect(store.put(digestOf(HELLO), broken)).rejects.toThrow('the line went dead');
      expect(await store.has(digestOf(HELLO))).toBeUndefined();
    });

    it('refuses what is not a digest', async () => {
      await expect(store.put('sha256:../../etc', streamOf(HELLO))).rejects.toMatchObject({
        code: 'invalid_input',
      });
      await expect(store.has('sha512:00')).rejects.toMatchObject({ code: 'invalid_input' });
    });

    it('takes over a file', async () => {
      const file = path.join(folder, 'upload');
      await writeFile(file, HELLO);
      await store.putFile(digestOf(HELLO), file);
      expect(await read(digestOf(HELLO))).toBe('hello, blob');
    });

    it('takes the same blob from many at once', async () => {
      await Promise.all(Array.from({ length: 8 }, () => store.put(digestOf(HELLO), streamOf(HELLO))));
      expect(await listed()).toEqual([digestOf(HELLO)]);
      expect(await read(digestOf(HELLO))).toBe('hello, blob');
    });

    it('lists and deletes', async () => {
      const other = Buffer.from('other');
      await store.put(digestOf(HELLO), streamOf(HELLO));
      await store.put(digestOf(other), streamOf(other));
      expect(await listed()).toEqual([digestOf(HELLO), digestOf(other)].sort());
      expect(await store.delete(digestOf(HELLO))).toBe(true);
      expect(await listed()).toEqual([digestOf(other)]);
    });
  });
}

async function digestsOf(store: BlobStore): Promise<string[]> {
  const digests: string[] = [];
  for await (const { digest } of store.list()) digests.push(digest);
  return digests.sort();
}
