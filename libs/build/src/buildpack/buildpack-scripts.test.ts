import { copyFile, link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemExec } from '#libs/host';
import { projectFolder } from '../bases/recipe.ts';
import { LaunchToml, parseToml } from './buildpack-files.ts';

/** The buildpacks' own scripts, run as they are, on what apps may bring. What they install is for the integration tests. */
const buildpacks = path.join(projectFolder(), 'buildpacks');
let app: string;
let layers: string;
/** Node.js and npm as they lie in the build image. */
let node: string;

beforeEach(async () => {
  app = await mkdtemp(path.join(os.tmpdir(), 'gantry-app-'));
  layers = path.join(app, '.layers');
  await mkdir(layers);
  node = path.join(app, '.node');
  await mkdir(path.join(node, 'bin'), { recursive: true });
  await mkdir(path.join(node, 'lib/node_modules'), { recursive: true });
  await link(process.execPath, path.join(node, 'bin/node')).catch(() =>
    copyFile(process.execPath, path.join(node, 'bin/node')),
  );
  await symlink(path.join(projectFolder(), 'node_modules/npm'), path.join(node, 'lib/node_modules/npm'));
});
afterEach(() => rm(app, { recursive: true, force: true }));

const put = (name: string, text: string) => writeFile(path.join(app, name), text);

async function procfile(
  text: string,
): Promise<{ code: number; output: string; commands: Record<string, string> }> {
  await put('Procfile', text);
  const { code, stdout } = await systemExec.tryRun(path.join(buildpacks, 'procfile/bin/build'), [layers], {
    cwd: app,
  });
  const { processes } = parseToml(
    LaunchToml,
    await readFile(path.join(layers, 'launch.toml'), 'utf8').catch(() => ''),
    'launch.toml',
  );
  return {
    code,
    output: stdout,
    commands: Object.fromEntries(processes.map(({ type, command }) => [type, command.at(-1) ?? ''])),
  };
}

describe('procfile/bin/build', () => {
  it('replaces the shell by a simple command, and leaves operators to it', async () => {
    const { commands, output } = await procfile(
      '# comment\r\nweb: node server.js --name "a b" \\path\r\n\nrelease: a && b\nclock:FOO=1 ./tick\nasset-worker: cat <in | ./work\n',
    );
    expect(commands).toEqual({
      web: 'exec node server.js --name "a b" \\path',
      release: 'a && b',
      clock: 'FOO=1 ./tick',
      'asset-worker': 'cat <in | ./work',
    });
    expect(output).toContain('declares types: web, release, clock, asset-worker');
  });

  const bad: [string, string, RegExp][] = [
    ['a line that is no type', 'web node', /line 1 is not "name: command"/],
    ['a bad name', 'Web_1: x', /no process type/],
    ['a name twice', 'web: a\nweb: b', /there twice/],
    ['nothing', '# empty\n', /names no process type/],
    ['control characters', 'web: a\u001b[31m\n', /control characters/],
    ['too much', `web: ${'x'.repeat(70_000)}`, /larger than 64 KiB/],
  ];
  for (const [what, text, message] of bad) {
    it(`refuses ${what}`, async () => {
      const { code, output } = await procfile(text);
      expect(code).toBe(1);
      expect(output).toMatch(message);
    });
  }
});

async function plan(
  manifest: object,
): Promise<{ code: number; values: Record<string, string>; stderr: string }> {
  await put('package.json', JSON.stringify(manifest));
  const { code, stdout, stderr } = await systemExec.tryRun(
    path.join(node, 'bin/node'),
    [path.join(buildpacks, 'nodejs/lib/plan.mjs')],
    { cwd: app },
  );
  const values = Object.fromEntries(
    stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  return { code, values, stderr };
}

describe('nodejs/lib/plan.mjs', () => {
  it('starts node itself where the start script is plain, else npm', async () => {
    expect((await plan({ scripts: { start: 'node src/a.js --port=1' } })).values.start).toBe(
      '["node","src/a.js","--port=1"]',
    );
    expect((await plan({ scripts: { start: 'NODE_ENV=x node a.js' } })).values.start).toBe('["npm","start"]');
    expect((await plan({ scripts: { start: 'node a.js && echo' } })).values.start).toBe('["npm","start"]');
    expect((await plan({ scripts: { start: 'node a.js', prestart: 'x' } })).values.start).toBe(
      '["npm","start"]',
    );
    expect((await plan({})).values.start).toBe('[]');
    await put('server.js', '');
    expect((await plan({})).values.start).toBe('["node","server.js"]');
  });

  it('has a key that changes with dependencies and lockfile, and not with the rest of package.json', async () => {
    const key = async (manifest: object) => (await plan(manifest)).values.dependencies_key;
    const first = await key({ dependencies: { a: '1' }, version: '1.0.0', scripts: { start: 'x' } });
    expect(await key({ dependencies: { a: '1' }, version: '2.0.0', scripts: { start: 'y' } })).toBe(first);
    expect(await key({ dependencies: { a: '2' } })).not.toBe(first);
    await put('package-lock.json', '{}');
    expect(await key({ dependencies: { a: '1' } })).not.toBe(first);
  });

  it('does not call modules reusable that scripts of the app or workspaces may change', async () => {
    expect((await plan({})).values.reusable).toBe('true');
    expect((await plan({ scripts: { postinstall: 'x' } })).values.reusable).toBe('false');
    expect((await plan({ workspaces: ['a'] })).values.reusable).toBe('false');
  });

  it('finds the package manager by its lockfile, and refuses two', async () => {
    await put('yarn.lock', '');
    expect((await plan({ packageManager: 'yarn@4.5.0+sha512.x' })).values).toMatchObject({
      manager: 'yarn',
      manager_version: '4.5.0',
    });
    await put('pnpm-lock.yaml', '');
    expect(await plan({})).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('several package managers'),
    });
  });

  it("takes the build image's Node.js when the range allows it, and says when the range is none", async () => {
    expect((await plan({})).values.node_version).toBe(process.versions.node);
    expect((await plan({ engines: { node: '>=18' } })).values.node_version).toBe(process.versions.node);
    expect((await plan({ engines: { node: '22.x' } })).values).toMatchObject({
      node_version: '',
      node_range: '22.x',
    });
    expect(await plan({ engines: { node: 'newest please' } })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no version range'),
    });
  });

  it('refuses a package.json that is no JSON object', async () => {
    expect(await plan([])).toMatchObject({ code: 1, stderr: expect.stringContaining('not a JSON object') });
  });
});
