import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readLaunchVariables, readLayers, readServices } from './read-layers.ts';

let layers: string;

beforeEach(async () => {
  layers = await mkdtemp(path.join(os.tmpdir(), 'gantry-layers-'));
  await mkdir(path.join(layers, 'nodejs', 'node'), { recursive: true });
  await mkdir(path.join(layers, 'procfile'));
});
afterEach(() => rm(layers, { recursive: true, force: true }));

const put = (name: string, text: string) => writeFile(path.join(layers, name), text);

describe('readLayers', () => {
  it('reads types and metadata; a file without its folder is no layer', async () => {
    await put('nodejs/node.toml', '[types]\nlaunch = true\n[metadata]\nversion = "24"\n');
    await put('nodejs/gone.toml', '[types]\nlaunch = true\n');
    await put('nodejs/launch.toml', '');
    expect(await readLayers(layers, 'nodejs')).toEqual([
      {
        buildpack: 'nodejs',
        name: 'node',
        types: { launch: true, build: false, cache: false },
        metadata: { version: '24' },
      },
    ]);
  });

  it('follows no link: not for the file, not for the folder', async () => {
    await symlink('/etc/hostname', path.join(layers, 'nodejs', 'node.toml'));
    await expect(readLayers(layers, 'nodejs')).rejects.toMatchObject({ code: 'build_failed' });
    await rm(path.join(layers, 'nodejs', 'node.toml'));
    await put('nodejs/evil.toml', '[types]\nlaunch = true\n');
    await symlink('/etc', path.join(layers, 'nodejs', 'evil'));
    expect(await readLayers(layers, 'nodejs')).toEqual([]);
  });

  it('refuses broken TOML, naming the file, and files that are too large', async () => {
    await put('nodejs/node.toml', '[types\n');
    await expect(readLayers(layers, 'nodejs')).rejects.toMatchObject({
      code: 'build_failed',
      message: expect.stringContaining('nodejs/node.toml'),
    });
    await put('nodejs/node.toml', `# ${'x'.repeat(300_000)}`);
    await expect(readLayers(layers, 'nodejs')).rejects.toMatchObject({
      message: expect.stringContaining('at most'),
    });
  });
});

describe('readServices', () => {
  it('refuses a command that no kernel and no database takes', async () => {
    await put('nodejs/launch.toml', '[[processes]]\ntype = "web"\ncommand = ["node", "a\\u0000b"]\n');
    await expect(readServices(layers, ['nodejs'])).rejects.toMatchObject({
      code: 'build_failed',
      message: expect.stringContaining('NUL'),
    });
  });

  it('joins command and args, and lets a later buildpack win', async () => {
    await put('nodejs/launch.toml', '[[processes]]\ntype = "web"\ncommand = ["node"]\nargs = ["a.js"]\n');
    expect(await readServices(layers, ['nodejs', 'procfile'])).toEqual([
      { name: 'web', argv: ['node', 'a.js'] },
    ]);
    await put(
      'procfile/launch.toml',
      '[[processes]]\ntype = "web"\ncommand = ["b"]\n[[processes]]\ntype = "worker"\ncommand = ["c"]\n',
    );
    expect(await readServices(layers, ['nodejs', 'procfile'])).toEqual([
      { name: 'web', argv: ['b'] },
      { name: 'worker', argv: ['c'] },
    ]);
  });

  it('says what to do when there is none, and refuses bad names', async () => {
    await expect(readServices(layers, ['nodejs'])).rejects.toMatchObject({
      code: 'build_failed',
      hint: expect.stringContaining('Procfile'),
    });
    await put('nodejs/launch.toml', '[[processes]]\ntype = "../web"\ncommand = ["b"]\n');
    await expect(readServices(layers, ['nodejs'])).rejects.toMatchObject({ code: 'build_failed' });
  });
});

describe('readLaunchVariables', () => {
  it('reads env and env.launch with their actions and delimiters, and skips links and other files', async () => {
    await mkdir(path.join(layers, 'nodejs/node/env.launch'));
    await put('nodejs/node/env.launch/PATH.append', '/x');
    await put('nodejs/node/env.launch/PATH.delim', ':');
    await put('nodejs/node/env.launch/PLAIN', 'v');
    await put('nodejs/node/env.launch/not-a-name.default', 'v');
    await symlink('/etc/passwd', path.join(layers, 'nodejs/node/env.launch/STOLEN'));
    expect(await readLaunchVariables(layers, { buildpack: 'nodejs', name: 'node' })).toEqual([
      { name: 'PATH', action: 'append', value: '/x', delimiter: ':' },
      { name: 'PLAIN', action: 'override', value: 'v', delimiter: '' },
    ]);
  });
});
