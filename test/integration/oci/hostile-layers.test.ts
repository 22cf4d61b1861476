import { lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemExec } from '#libs/host';
import { applyLayer, MEDIA_TYPES } from '#libs/oci';
import { apply, getAttribute, makePlayground, type Playground, tarOf } from './layers.ts';

let place: Playground;
beforeEach(async () => {
  place = await makePlayground();
});
afterEach(async () => {
  try {
    // Whatever the layer was: nothing beside the target has changed.
    expect((await readdir(place.folder)).sort()).toEqual(['canary', 'target']);
    expect(await readdir(place.canary)).toEqual(['file']);
    expect(await readFile(path.join(place.canary, 'file'), 'utf8')).toBe('untouched');
    expect((await lstat(path.join(place.canary, 'file'))).nlink).toBe(1);
  } finally {
    await place.remove();
  }
});
const inTarget = (...parts: string[]) => path.join(place.target, ...parts);

describe('names that lead outside', () => {
  it.each([
    '../canary/file',
    'a/../../canary/file',
    '/../canary/file',
    './../canary/new',
    'a/../..',
    '../.wh.file',
  ])('are refused: %s', async (name) => {
    const tar = await tarOf([{ name, content: 'evil' }]);
    await expect(apply(place.target, tar)).rejects.toMatchObject({ code: 'invalid_input' });
  });

  it('land inside when they are absolute', async () => {
    await apply(place.target, await tarOf([{ name: path.join(place.canary, 'file'), content: 'evil' }]));
    expect(await readFile(path.join(place.target, place.canary, 'file'), 'utf8')).toBe('evil');
  });

  it('are refused as targets of hard links', async () => {
    const tar = await tarOf([{ name: 'x', type: 'link', linkname: '../canary/file' }]);
    await expect(apply(place.target, tar)).rejects.toMatchObject({ code: 'invalid_input' });
  });

  it('are looked up inside when a hard link is absolute', async () => {
    const linkname = path.join(place.canary, 'file');
    const tar = await tarOf([
      { name: 'x', type: 'link', linkname },
      { name: 'x', content: 'evil' },
    ]);
    await expect(apply(place.target, tar)).rejects.toMatchObject({ code: 'invalid_input' });
  });

  it('are refused in whiteouts', async () => {
    for (const name of ['a/.wh...', '.wh..', 'a/.wh.']) {
      await expect(apply(place.target, await tarOf([{ name }]))).rejects.toMatchObject({
        code: 'invalid_input',
      });
    }
  });
});

describe('links', () => {
  it('are followed within the folder only', async () => {
    for (const linkname of [place.canary, '../canary', '../../../../../../../..', '/']) {
      const tar = await tarOf([
        { name: 'link', type: 'symlink', linkname },
        { name: 'link/file', content: 'evil' },
        { name: 'link/deep/file', content: 'evil' },
      ]);
      await apply(place.target, tar).catch(() => {}); // whether it works depends on what is inside; the canary must not change
    }
  });

  it('to a folder inside lead there', async () => {
    const tar = await tarOf([
      { name: 'usr/bin', type: 'directory', mode: 0o711 },
      { name: 'bin', type: 'symlink', linkname: 'usr/bin' },
      { name: 'bin/tool', content: 'tool' },
    ]);
    await apply(place.target, tar);
    expect(await readlink(inTarget('bin'))).toBe('usr/bin');
    expect(await readFile(inTarget('usr/bin/tool'), 'utf8')).toBe('tool');
    expect((await lstat(inTarget('usr/bin'))).mode & 0o777).toBe(0o711);
  });

  it('are replaced by a file of the same name, not written through', async () => {
    const tar = await tarOf([
      { name: 'file', type: 'symlink', linkname: path.join(place.canary, 'file') },
      { name: 'file', content: 'mine' },
      { name: 'up', type: 'symlink', linkname: '../canary/file' },
      { name: 'up', content: 'mine' },
    ]);
    await apply(place.target, tar);
    expect(await readFile(inTarget('file'), 'utf8')).toBe('mine');
    expect((await lstat(inTarget('file'))).isFile()).toBe(true);
    expect(await readFile(inTarget('up'), 'utf8')).toBe('mine');
  });

  it('do not lead whiteouts, opaque marks and modes outside', async () => {
    const tar = await tarOf([
      { name: 'link', type: 'symlink', linkname: place.folder },
      { name: 'link/.wh.canary' },
      { name: 'link/canary/.wh..wh..opq' },
      { name: 'link', type: 'directory', mode: 0o700, uid: 99 },
    ]);
    await apply(place.target, tar).catch(() => {});
    expect((await lstat(place.folder)).uid).toBe(0);
    expect(getAttribute(place.canary, 'trusted.overlay.opaque')).toBeUndefined();
  });

  it('that were in the folder before do not lead outside either', async () => {
    await symlink(place.canary, inTarget('link'));
    await apply(place.target, await tarOf([{ name: 'link/file', content: 'evil' }])).catch(() => {});
  });

  it('to a pipe do not hang the unpacking', async () => {
    const tar = await tarOf([
      { name: 'pipe', type: 'fifo' },
      { name: 'hard', type: 'link', linkname: 'pipe' },
      { name: 'soft', type: 'symlink', linkname: 'pipe' },
      { name: 'hard', content: 'x' },
      { name: 'soft', content: 'x' },
      { name: 'pipe', content: 'x' },
    ]);
    await apply(place.target, tar);
    expect(await readFile(inTarget('pipe'), 'utf8')).toBe('x');
  });
});

describe('what must not be made', () => {
  it('device nodes, and hard links to them', async () => {
    const tar = await tarOf([
      { name: 'dev/sda', type: 'block-device', devmajor: 8, devminor: 0 },
      { name: 'dev/mem', type: 'character-device', devmajor: 1, devminor: 1 },
      { name: 'dev/also', type: 'link', linkname: 'dev/mem' },
      { name: 'dev/null.txt', content: 'x' },
    ]);
    await apply(place.target, tar);
    expect(await readdir(inTarget('dev'))).toEqual(['null.txt']);
  });

  it('attributes that overlayfs or the kernel trust', async () => {
    const pax = {
      'SCHILY.xattr.trusted.overlay.redirect': '/etc',
      'SCHILY.xattr.trusted.overlay.opaque': 'y',
      'LIBARCHIVE.xattr.trusted.overlay.metacopy': 'eQ==',
      'SCHILY.xattr.security.evil': 'x',
      'SCHILY.xattr.user.kept': 'yes',
      'SCHILY.fflags': 'immutable',
      'SCHILY.acl.access': 'user::rwx,user:0:rwx,group::rwx,mask::rwx,other::rwx',
    };
    await apply(place.target, await tarOf([{ name: 'd/f', content: 'x', pax }]));
    const file = inTarget('d', 'f');
    for (const name of [
      'trusted.overlay.redirect',
      'trusted.overlay.opaque',
      'trusted.overlay.metacopy',
      'security.evil',
    ]) {
      expect(getAttribute(file, name)).toBeUndefined();
    }
    expect(getAttribute(file, 'system.posix_acl_access')).toBeUndefined();
    expect(getAttribute(file, 'user.kept')?.toString()).toBe('yes');
  });

  it('code of the layer runs nowhere: names in other encodings load nothing from inside', async () => {
    const gconv = 'usr/lib/x86_64-linux-gnu/gconv';
    const tar = await tarOf([
      {
        name: `${gconv}/gconv-modules`,
        content: 'module UTF-8// INTERNAL evil 1\nmodule ANSI_X3.4-1968// INTERNAL evil 1\n',
      },
      { name: `${gconv}/evil.so`, content: 'not a library: loading it would fail the unpacking' },
      { name: 'etc/nsswitch.conf', content: 'passwd: evil\ngroup: evil\n' },
      { name: `ümläut-${'ß'.repeat(90)}`, content: 'x', uname: 'eve', gname: 'eve' },
    ]);
    await apply(place.target, tar);
    expect(await readdir(place.target)).toContain(`ümläut-${'ß'.repeat(90)}`);
  });
});

describe('limits', () => {
  it('ends a gzip bomb early', async () => {
    const bomb = gzipSync(await tarOf([{ name: 'zeros', content: Buffer.alloc(64 << 20) }]));
    const limits = { maxBytes: 1 << 20 };
    const mediaType = MEDIA_TYPES.ociLayerGzip;
    await expect(apply(place.target, bomb, { mediaType, limits })).rejects.toMatchObject({
      code: 'too_large',
    });
  });

  it('ends a sparse bomb before it is written', async () => {
    const pax = {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'big',
      'GNU.sparse.realsize': String(2 ** 45),
    };
    const tar = await tarOf([{ name: 'big', content: '1\n0\n0\n'.padEnd(512, '\0'), pax }]);
    await expect(apply(place.target, tar)).rejects.toMatchObject({ code: 'too_large' });
  });

  it('ends a layer of a million entries', async () => {
    const one = await tarOf([{ name: 'f', type: 'block-device' }]); // left out, so that only counting takes time
    const header = one.subarray(0, 512);
    const many = Readable.from(
      (function* () {
        const batch = Buffer.concat(Array.from({ length: 1000 }, () => header));
        for (let i = 0; i <= 1000; i++) yield batch;
      })(),
      { objectMode: false },
    );
    const work = applyLayer({
      tar: many,
      mediaType: MEDIA_TYPES.ociLayer,
      target: place.target,
      exec: systemExec,
    });
    await expect(work).rejects.toMatchObject({
      code: 'too_large',
      message: expect.stringContaining('1000000'),
    });
  });

  it('ends a layer whose names take too much memory', async () => {
    const name = `${'d'.repeat(200)}/`.repeat(15);
    const tar = await tarOf(
      Array.from({ length: 50 }, (_, i) => ({ name: `${i}/${name}`, type: 'directory' as const })),
    );
    const limits = { maxNameBytes: 100_000 };
    await expect(apply(place.target, tar, { limits })).rejects.toMatchObject({ code: 'too_large' });
  });
});

describe('damaged layers', () => {
  const members = [{ name: 'file', content: Buffer.alloc(100_000, 'x') }];

  it.each([100, 512, 700, 50_000, 100_000])('cut after %i bytes', async (length) => {
    const tar = (await tarOf(members)).subarray(0, length);
    await expect(apply(place.target, tar)).rejects.toMatchObject({ code: 'invalid_input' });
  });

  it('cut within the compression, or no compression at all', async () => {
    const mediaType = MEDIA_TYPES.ociLayerGzip;
    const tar = await tarOf(members);
    await expect(apply(place.target, gzipSync(tar).subarray(0, -9), { mediaType })).rejects.toMatchObject({
      code: 'invalid_input',
    });
    await expect(apply(place.target, tar, { mediaType })).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(apply(place.target, tar, { mediaType: MEDIA_TYPES.ociLayerZstd })).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });

  it('that are no tar', async () => {
    await expect(apply(place.target, Buffer.alloc(2048, 'x'))).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });

  it('of another media type', async () => {
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+xz';
    await expect(apply(place.target, Buffer.alloc(10), { mediaType })).rejects.toMatchObject({
      code: 'unsupported',
    });
  });

  it('with another diff id', async () => {
    const expectedDiffId = `sha256:${'0'.repeat(64)}`;
    await expect(apply(place.target, await tarOf(members), { expectedDiffId })).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });

  it('whose source fails or is given up', async () => {
    const tar = await tarOf(members);
    const fails = Readable.from(
      (function* () {
        yield tar.subarray(0, 40_000);
        throw new Error('the line went dead');
      })(),
      { objectMode: false },
    );
    const options = { mediaType: MEDIA_TYPES.ociLayer, target: place.target, exec: systemExec };
    await expect(applyLayer({ tar: fails, ...options })).rejects.toThrow('the line went dead');

    const abort = new AbortController();
    const hangs = new Readable({ read() {} });
    hangs.push(tar.subarray(0, 40_000));
    const work = applyLayer({ tar: hangs, ...options, signal: abort.signal });
    abort.abort(new Error('given up'));
    await expect(work).rejects.toThrow('given up');
    expect(hangs.destroyed).toBe(true);
  });

  it('with a folder where a file has to go', async () => {
    await mkdir(inTarget('x'));
    await writeFile(inTarget('x', 'y'), '');
    await expect(apply(place.target, await tarOf([{ name: 'x', content: 'file' }]))).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('cannot be unpacked'),
    });
  });
});
