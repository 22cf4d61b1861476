import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Exec, systemExec } from '#libs/host';
import { silentLogger } from '#libs/log';
import { ensureBases } from './ensure-bases.ts';
import type { Recipe } from './recipe.ts';

let root: string;
let cacheDir: string;
let recipe: Recipe;

beforeEach(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'gantry-bases-'));
  cacheDir = path.join(root, 'bases');
  await mkdir(path.join(root, 'npm', 'bin'), { recursive: true });
  await writeFile(path.join(root, 'node'), 'a small binary');
  await writeFile(path.join(root, 'npm', 'bin', 'npm-cli.js'), '');
  recipe = {
    folder: root,
    digest: 'a'.repeat(64),
    packages: { run: ['tzdata'], build: ['git'] },
    nodeBinary: path.join(root, 'node'),
    npmFolder: path.join(root, 'npm'),
  };
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Everything real but mmdebstrap, in whose place `script` runs. */
function execWith(script: string): { exec: Exec; calls: () => number } {
  let calls = 0;
  const exec: Exec = {
    ...systemExec,
    spawn: (file, args, options) => {
      if (file !== 'unshare') return systemExec.spawn(file, args, options);
      calls += 1;
      return systemExec.spawn('sh', ['-c', script], options);
    },
  };
  return { exec, calls: () => calls };
}

const ensure = (exec: Exec, more: object = {}) =>
  ensureBases({ cacheDir, exec, log: silentLogger(), recipe, ...more });

describe('ensureBases', () => {
  it('makes both images once, whoever asks at the same time, and finds them afterwards', async () => {
    const { exec, calls } = execWith('echo "I: success" >&2; printf layer');
    const lines: string[] = [];
    const both = await Promise.all([
      ensure(exec, { onProgress: (line: string) => lines.push(line) }),
      ensure(exec),
    ]);
    expect(calls()).toBe(2);
    expect(both[0]).toEqual(both[1]);
    expect(await ensure(exec)).toEqual(both[0]);
    expect(calls()).toBe(2);
    expect(lines).toContain('run image: success');
    const { run, build } = both[0];
    expect(run.layers[0]).toMatchObject({ gzip: true, diffId: build.layers[0]?.diffId });
    expect(build.layers[0]?.digest).toBe(build.layers[0]?.diffId);
    expect(build.provided).toMatchObject([
      { buildpack: 'nodejs', name: 'node', metadata: { version: process.versions.node, provided: true } },
    ]);
    expect((await readdir(run.folder)).sort()).toEqual(['base.json', 'layer.tar.gz']);
  });

  it('leaves nothing after a failure, says what could not be reached, and can be tried again', async () => {
    const failing = execWith(
      'echo "E: Failed to fetch http://mirror.example/x  Could not connect" >&2; exit 1',
    );
    await expect(ensure(failing.exec)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('mirror.example'),
    });
    expect(await readdir(cacheDir)).toEqual(['.lock']);
    await ensure(execWith('printf layer').exec);
  });

  it('says that mmdebstrap is missing', async () => {
    await expect(ensure(execWith('exit 127').exec)).rejects.toMatchObject({
      code: 'unavailable',
      hint: expect.stringContaining('apt-get install mmdebstrap'),
    });
  });

  it('removes what a killed process left, and makes an unfinished image anew', async () => {
    await mkdir(path.join(cacheDir, '.aaaa.123456.tmp', 'run'), { recursive: true });
    await mkdir(path.join(cacheDir, recipe.digest, 'run'), { recursive: true });
    await ensure(execWith('printf layer').exec);
    expect((await readdir(cacheDir)).sort()).toEqual(['.lock', recipe.digest]);
  });

  it('ends its work when cancelled', async () => {
    const cancel = new AbortController();
    const making = ensure(execWith('exec sleep 60').exec, {
      signal: cancel.signal,
      onProgress: () => cancel.abort(new Error('stopped')),
    });
    await expect(making).rejects.toThrow('stopped');
    expect(await readdir(cacheDir)).toEqual(['.lock']);
  });
});
