import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { type Header, pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_SOURCE_LIMITS, receiveSource } from './receive-source.ts';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'gantry-receive-'));
  file = path.join(folder, 'source.tar');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Entry = Partial<Header> & { name: string; content?: string };

async function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const { content, ...header } of entries) archive.entry(header, content ?? '');
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks);
}

const receive = async (entries: readonly Entry[], limits = DEFAULT_SOURCE_LIMITS) =>
  receiveSource(Readable.from([await tarOf(entries)]), file, limits);

describe('receiveSource', () => {
  it('keeps the bytes as they came and says what is at the root', async () => {
    const bytes = await tarOf([
      { name: 'package.json', content: '{}' },
      { name: './src/', type: 'directory' },
      { name: 'src/a.js', content: 'x'.repeat(70_000) },
      { name: 'link', type: 'symlink', linkname: '/etc/passwd' },
    ]);
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 1000) pieces.push(bytes.subarray(at, at + 1000));
    const received = await receiveSource(Readable.from(pieces), file);
    expect(received).toEqual({ rootNames: ['link', 'package.json', 'src'], entries: 4, bytes: bytes.length });
    expect(await readFile(file)).toEqual(bytes);
  });

  const refused: [string, Entry[]][] = [
    ['an absolute path', [{ name: '/etc/cron.d/evil', content: 'x' }]],
    ['a path that climbs out', [{ name: 'a/../../evil', content: 'x' }]],
    [
      'a path through a link',
      [
        { name: 'out', type: 'symlink', linkname: '/etc' },
        { name: 'out/evil', content: 'x' },
      ],
    ],
    ['a hard link that climbs out', [{ name: 'a', type: 'link', linkname: '../../etc/shadow' }]],
    ['a device', [{ name: 'disk', type: 'block-device', devmajor: 8, devminor: 0 }]],
    ['a fifo', [{ name: 'pipe', type: 'fifo' }]],
    ['an empty archive', []],
    ['a path of more than 1,024 bytes', [{ name: `${'d/'.repeat(600)}f`, content: 'x' }]],
  ];
  for (const [what, entries] of refused) {
    it(`refuses ${what}`, async () => {
      await expect(receive(entries)).rejects.toMatchObject({ code: 'invalid_input' });
    });
  }

  it('stops at the byte limit and at the file limit', async () => {
    const many = Array.from({ length: 5 }, (_, i) => ({ name: `f${i}`, content: 'x' }));
    await expect(receive(many, { ...DEFAULT_SOURCE_LIMITS, maxEntries: 4 })).rejects.toMatchObject({
      code: 'too_large',
      message: expect.stringMatching(/more than 4 files/),
    });
    const large = [{ name: 'big', content: 'x'.repeat(3 << 20) }];
    await expect(receive(large, { ...DEFAULT_SOURCE_LIMITS, maxBytes: 1 << 20 })).rejects.toMatchObject({
      code: 'too_large',
      message: expect.stringMatching(/1 MiB/),
    });
  });

  it('refuses what is no tar, and one that is cut off', async () => {
    await expect(receiveSource(Readable.from([Buffer.alloc(2048, 'x')]), file)).rejects.toMatchObject({
      code: 'invalid_input',
    });
    await rm(file, { force: true });
    const bytes = await tarOf([{ name: 'a', content: 'x'.repeat(10_000) }]);
    await expect(receiveSource(Readable.from([bytes.subarray(0, 3000)]), file)).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });

  it('ends with the reason of its signal', async () => {
    const stuck = new Readable({ read() {} });
    const cancel = new AbortController();
    const receiving = receiveSource(stuck, file, DEFAULT_SOURCE_LIMITS, cancel.signal);
    const reason = new Error('cancelled');
    cancel.abort(reason);
    await expect(receiving).rejects.toBe(reason);
  });
});
