import { lstat, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemExec } from '#libs/host';
import { digestOf, MEDIA_TYPES } from '#libs/oci';
import { apply, getAttribute, makePlayground, type Playground, setAttribute, tarOf } from './layers.ts';

let place: Playground;
beforeEach(async () => {
  place = await makePlayground();
});
afterEach(() => place.remove());
const inTarget = (...parts: string[]) => path.join(place.target, ...parts);
/** cap_net_bind_service=ep as the kernel keeps it (vfs_cap_data, revision 2). */
const CAPABILITY = Buffer.from('0100000200040000000000000000000000000000', 'hex');

describe('a layer', () => {
  it('keeps owners, modes, times, links and data', async () => {
    const long = `${'long-'.repeat(30)}/${'name-'.repeat(40)}`;
    const tar = await tarOf([
      { name: './', type: 'directory', mode: 0o755 },
      { name: 'folder/', type: 'directory', mode: 0o1777, uid: 7, gid: 8 },
      {
        name: 'folder/file',
        content: 'data',
        mode: 0o4755,
        uid: 1000,
        pax: { gid: '3000000' },
        mtime: new Date(1_000_000_000_000),
      },
      { name: 'folder/hard', type: 'link', linkname: 'folder/file' },
      { name: 'soft', type: 'symlink', linkname: '/folder/file', uid: 5, gid: 5 },
      { name: 'pipe', type: 'fifo', mode: 0o600 },
      { name: long, content: 'long' },
    ]);
    const applied = await apply(place.target, tar);
    expect(applied).toEqual({ diffId: digestOf(tar), sizeBytes: tar.length });
    const file = await lstat(inTarget('folder/file'));
    expect([file.mode & 0o7777, file.uid, file.gid, file.mtimeMs, file.nlink]).toEqual([
      0o4755, 1000, 3_000_000, 1_000_000_000_000, 2,
    ]);
    expect(await readFile(inTarget('folder/hard'), 'utf8')).toBe('data');
    const folder = await lstat(inTarget('folder'));
    expect([folder.mode & 0o7777, folder.uid, folder.gid]).toEqual([0o1777, 7, 8]);
    expect((await lstat(inTarget('soft'))).uid).toBe(5);
    expect((await lstat(inTarget('pipe'))).isFIFO()).toBe(true);
    expect(await readFile(inTarget(long), 'utf8')).toBe('long');
  });

  it.each([
    ['gzip', MEDIA_TYPES.ociLayerGzip, (tar: Buffer) => gzipSync(tar)],
    ['Docker gzip', MEDIA_TYPES.dockerLayerGzip, (tar: Buffer) => gzipSync(tar)],
    ['zstd', MEDIA_TYPES.ociLayerZstd, (tar: Buffer) => zstdCompressSync(tar)],
    ['plain', MEDIA_TYPES.dockerLayer, (tar: Buffer) => tar],
  ])('may be %s', async (_name, mediaType, compress) => {
    const tar = await tarOf([{ name: 'file', content: Buffer.alloc(3_000_000, 'abc') }]);
    const applied = await apply(place.target, compress(tar), { mediaType, expectedDiffId: digestOf(tar) });
    expect(applied.sizeBytes).toBe(tar.length);
    expect((await stat(inTarget('file'))).size).toBe(3_000_000);
  });

  it('may be empty', async () => {
    await apply(place.target, await tarOf([]));
    expect(await readdir(place.target)).toEqual([]);
  });

  it.each(['gnu', 'posix', 'ustar', 'v7'])('may come from GNU tar in its %s format', async (format) => {
    const source = path.join(place.folder, 'source');
    await mkdir(path.join(source, 'a'), { recursive: true });
    await writeFile(path.join(source, 'a', 'file'), 'data');
    const { stdout } = await systemExec.run('tar', [`--format=${format}`, '-C', source, '-c', 'a']);
    await apply(place.target, Buffer.from(stdout));
    expect(await readFile(inTarget('a/file'), 'utf8')).toBe('data');
  });

  it('keeps capabilities, user attributes and holes that GNU tar wrote', async () => {
    const source = path.join(place.folder, 'source');
    await mkdir(source);
    const tool = path.join(source, 'tool');
    await writeFile(tool, 'tool', { mode: 0o755 });
    setAttribute(tool, 'security.capability', CAPABILITY);
    setAttribute(tool, 'user.note', Buffer.from('ü'));
    await systemExec.run('truncate', ['--size=8M', path.join(source, 'holes')]);
    const archive = path.join(place.folder, 'layer.tar');
    const options = ['--format=posix', '--sparse', '--xattrs', '--xattrs-include=*'];
    await systemExec.run('tar', [...options, '-C', source, '-cf', archive, '.']);
    await apply(place.target, await readFile(archive));
    expect(getAttribute(inTarget('tool'), 'security.capability')).toEqual(CAPABILITY);
    expect(getAttribute(inTarget('tool'), 'user.note')?.toString()).toBe('ü');
    const holes = await stat(inTarget('holes'));
    expect(holes.size).toBe(8 << 20);
    expect(holes.blocks).toBeLessThan(100);
  });

  it("makes the folders that it leaves out, as root's, whatever the umask", async () => {
    const before = process.umask(0o077);
    try {
      await apply(place.target, await tarOf([{ name: 'a/b/c', content: 'x', uid: 5 }]));
    } finally {
      process.umask(before);
    }
    for (const name of ['a', 'a/b']) {
      const { mode, uid } = await lstat(inTarget(name));
      expect([mode & 0o777, uid]).toEqual([0o755, 0]);
    }
  });
});

describe('whiteouts', () => {
  const lowerTar = () =>
    tarOf([
      { name: 'etc/', type: 'directory', mode: 0o750 },
      { name: 'etc/gone', content: 'old' },
      { name: 'etc/kept', content: 'old' },
      { name: 'data/', type: 'directory', mode: 0o700, uid: 3 },
      { name: 'data/old', content: 'old' },
      { name: 'replaced/', type: 'directory' },
      { name: 'replaced/old', content: 'old' },
      { name: 'back', content: 'old' },
      { name: 'top', content: 'old' },
    ]);

  it('become those of overlayfs', async () => {
    await apply(
      place.target,
      await tarOf([
        { name: 'a/.wh.gone' },
        { name: 'b/', type: 'directory', mode: 0o710, uid: 4 },
        { name: 'b/.wh..wh..opq' },
      ]),
    );
    const gone = await lstat(inTarget('a/gone'));
    expect([gone.isCharacterDevice(), gone.rdev]).toEqual([true, 0]);
    expect(getAttribute(inTarget('b'), 'trusted.overlay.opaque')?.toString()).toBe('y');
    const folder = await lstat(inTarget('b'));
    expect([folder.mode & 0o777, folder.uid]).toEqual([0o710, 4]);
    expect(getAttribute(inTarget('a'), 'trusted.overlay.opaque')).toBeUndefined();
    expect(await readdir(inTarget('b'))).toEqual([]);
  });

  it('hide what is below in a real overlay, wherever in the layer they stand', async () => {
    const upper = path.join(place.folder, 'upper');
    const merged = path.join(place.folder, 'merged');
    await mkdir(upper);
    await mkdir(merged);
    await apply(place.target, await lowerTar());
    await apply(
      upper,
      await tarOf([
        { name: 'data/.wh..wh..opq' }, // before the folder itself
        { name: 'data/', type: 'directory', mode: 0o711, uid: 9 },
        { name: 'data/new', content: 'new' },
        { name: 'etc/', type: 'directory', mode: 0o750 },
        { name: 'etc/.wh.gone' },
        { name: 'replaced/', type: 'directory' },
        { name: 'replaced/new', content: 'new' },
        { name: '.wh.replaced' }, // after the folder that takes its place
        { name: 'back', content: 'new' },
        { name: '.wh.back' }, // after the file that takes its place
        { name: '.wh.top' },
        { name: '.wh..wh.plnk/1.2', content: 'aufs' },
      ]),
    );
    await systemExec.run('mount', [
      '-t',
      'overlay',
      'overlay',
      '-o',
      `lowerdir=${upper}:${place.target}`,
      merged,
    ]);
    try {
      const found = await readdir(merged, { recursive: true });
      expect(found.sort()).toEqual([
        'back',
        'data',
        'data/new',
        'etc',
        'etc/kept',
        'replaced',
        'replaced/new',
      ]);
      expect(await readFile(path.join(merged, 'back'), 'utf8')).toBe('new');
      const data = await lstat(path.join(merged, 'data'));
      expect([data.mode & 0o777, data.uid]).toEqual([0o711, 9]);
    } finally {
      await systemExec.run('umount', [merged]);
    }
  });
});
