import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { systemExec } from '#libs/host';
import { nearestAppName } from './app-name.ts';
import { parseGitUrl } from './git.ts';
import { FakeControlPlane } from './testing/fake-control-plane.ts';
import { anApp, aVolume } from './testing/resources.ts';
import { TestCli } from './testing/test-cli.ts';

/** Real git, which runs the CLI from its sources: a second on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

let cli: TestCli;
let fake: FakeControlPlane;

beforeEach(async () => {
  cli = await TestCli.create();
  fake = await FakeControlPlane.start();
  fake
    .on(userEndpoints.createApp, ({ body }) =>
      anApp(fake.url, { slug: body.slug, status: 'empty', release: null }),
    )
    .on(userEndpoints.showApp, ({ params }) => anApp(fake.url, { slug: params.app }))
    .on(userEndpoints.listVolumes, () => ({ items: [aVolume('uploads')] }))
    .on(userEndpoints.destroyApp, () => undefined);
  await cli.logins.save({ url: fake.url, token: fake.token });
});
afterEach(async () => {
  await fake.stop();
  await cli.remove();
});

/** git as a user would run it, but with no configuration of this machine. */
async function git(folder: string, args: string[], more: { input?: string; env?: NodeJS.ProcessEnv } = {}) {
  const env = {
    PATH: process.env.PATH,
    HOME: cli.home,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    ...more.env,
  };
  return systemExec.tryRun('git', ['-C', folder, ...args], { env, input: more.input });
}

async function makeRepository(name = 'app'): Promise<string> {
  const folder = path.join(cli.home, name);
  await mkdir(folder);
  await git(folder, ['init', '-q', '-b', 'main']);
  return folder;
}

describe('gantry apps create', () => {
  test('adds the remote, and lets real git use the login for that platform and no other', async () => {
    const folder = await makeRepository("it's an app");
    const command = await writeScript();
    // a helper of the user's own must neither be asked for the token nor be told it
    await git(folder, [
      'config',
      '--global',
      'credential.helper',
      '!echo username=thief; echo password=thief; :',
    ]);
    const run = await cli.run(['apps', 'create', 'hello'], { cwd: folder, command: [command] });
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toContain('Deploy with: git push platform main');
    expect((await git(folder, ['remote', 'get-url', 'platform'])).stdout).toBe(`${fake.url}/git/hello.git\n`);

    const ask = (host: string) =>
      git(folder, ['credential', 'fill'], { input: `protocol=http\nhost=${host}\npath=git/hello.git\n\n` });
    const { stdout } = await ask(`127.0.0.1:${fake.port}`);
    expect(stdout.split('\n')).toContain(`password=${fake.token}`);
    expect(stdout.split('\n')).toContain('username=gantry');
    expect((await ask('127.0.0.1:9')).stdout).toContain('password=thief');
    const outside = await git(cli.home, ['credential', 'fill'], {
      input: `protocol=http\nhost=127.0.0.1:${fake.port}\n\n`,
    });
    expect(outside.stdout).not.toContain(fake.token);
  });

  test('twice for one app in one folder changes nothing more', async () => {
    const folder = await makeRepository();
    await cli.run(['apps', 'create', 'hello'], { cwd: folder });
    const settings = async () =>
      (await git(folder, ['config', '--local', '--list'])).stdout.split('\n').sort();
    const before = await settings();
    const again = await cli.run(['apps', 'create', 'hello', '--json'], { cwd: folder });
    expect(JSON.parse(again.stdout)).toMatchObject({ gitRemote: { name: 'platform', outcome: 'present' } });
    expect(await settings()).toEqual(before);
  });

  test("leaves another app's remote alone and says so", async () => {
    const folder = await makeRepository();
    await git(folder, ['remote', 'add', 'platform', `${fake.url}/git/other.git`]);
    const run = await cli.run(['apps', 'create', 'hello'], { cwd: folder });
    expect(run.code).toBe(0);
    expect(run.stdout).toContain(`belongs to the app other at ${fake.url}`);
    expect(run.stdout).toContain(`git remote add hello ${fake.url}/git/hello.git`);
    expect((await git(folder, ['remote', 'get-url', 'platform'])).stdout).toContain('other.git');
  });

  test('honours --remote and --no-remote', async () => {
    const folder = await makeRepository();
    await cli.run(['apps', 'create', 'hello', '--remote', 'staging'], { cwd: folder });
    await cli.run(['apps', 'create', 'other', '--no-remote'], { cwd: folder });
    expect((await git(folder, ['remote'])).stdout).toBe('staging\n');
  });

  test('outside of a work tree says how to go on', async () => {
    const run = await cli.run(['apps', 'create', 'hello']);
    expect(run.code).toBe(0);
    expect(run.stdout).toContain(`git init -b main && git remote add platform ${fake.url}/git/hello.git`);
  });

  test('needs a name that can be one, and suggests the nearest', async () => {
    const folder = path.join(cli.home, 'My App_2');
    await mkdir(folder);
    expect((await cli.run(['apps', 'create'], { cwd: folder })).stderr).toContain(
      'gantry apps create my-app-2',
    );
    const run = await cli.run(['apps', 'create', 'Hello_World']);
    expect(run).toMatchObject({ code: 2 });
    expect(run.stderr).toContain('hint: Try hello-world.');
    expect((await cli.run(['apps', 'create', 'git'])).stderr).toContain('reserved');
    expect((await cli.run(['apps', 'create', 'hello', '--remote', '--upload-pack=x'])).code).toBe(2);
    expect(fake.calls).toEqual([]);
  });

  test("passes the platform's refusal on", async () => {
    fake.on(userEndpoints.createApp, () => {
      throw new PlatformError('conflict', 'the name hello is taken', { hint: 'Choose another name.' });
    });
    const folder = await makeRepository();
    const run = await cli.run(['apps', 'create', 'hello', '--json'], { cwd: folder });
    expect(run).toMatchObject({ code: 6, stdout: '' });
    expect(JSON.parse(run.stderr)).toEqual({
      error: { code: 'conflict', message: 'the name hello is taken', hint: 'Choose another name.' },
    });
    expect((await git(folder, ['remote'])).stdout).toBe('');
  });

  /** A `gantry` script that runs the CLI from its sources, in a folder whose name needs quoting. */
  async function writeScript(): Promise<string> {
    const folder = path.join(cli.home, "o'gantry $HOME");
    await mkdir(folder);
    const script = path.join(folder, 'gantry');
    const main = fileURLToPath(new URL('main.ts', import.meta.url));
    const flags = '--conditions=source --experimental-transform-types --disable-warning=ExperimentalWarning';
    await writeFile(script, `#!/bin/sh\nexec '${process.execPath}' ${flags} '${main}' "$@"\n`, {
      mode: 0o755,
    });
    return script;
  }
});

describe('git-credential', () => {
  const request = (host: string, more = '') => `protocol=http\nhost=${host}\n${more}\n`;

  test('answers for GANTRY_URL with GANTRY_TOKEN, and never for another address', async () => {
    const env = { GANTRY_URL: 'http://127.0.0.1:7', GANTRY_TOKEN: 'from-env' };
    const own = await cli.run(['git-credential', 'get'], { env, input: request('127.0.0.1:7') });
    expect(own.stdout).toBe('username=gantry\npassword=from-env\n');
    const other = await cli.run(['git-credential', 'get'], { env, input: request('127.0.0.1:8') });
    expect(other).toMatchObject({ code: 0, stdout: '' });
    expect(other.stderr).toContain('not logged in at http://127.0.0.1:8');
  });

  test('explains a refused token, stores nothing, and takes nonsense calmly', async () => {
    const host = `127.0.0.1:${fake.port}`;
    const erase = await cli.run(['git-credential', 'erase'], {
      input: request(host, `password=${fake.token}\n`),
    });
    expect(erase.stderr).toContain('refused the stored token');
    expect(await cli.logins.current()).toBeDefined();
    for (const input of ['', 'nonsense', 'protocol=ssh\nhost=x\n\n', 'x'.repeat(100_000)]) {
      expect(await cli.run(['git-credential', 'get'], { input })).toMatchObject({ code: 0, stdout: '' });
    }
    expect(await cli.run(['git-credential', 'store'], { input: request(host) })).toMatchObject({
      code: 0,
      stdout: '',
    });
  });
});

describe('the app of a folder', () => {
  test('is the one of its remote, on the platform of that remote', async () => {
    const folder = await makeRepository();
    await git(folder, ['remote', 'add', 'platform', `${fake.url}/git/shop.git`]);
    await cli.logins.save({ url: 'http://127.0.0.1:1', token: 'other' }); // current, but not that of the folder
    const run = await cli.run(['apps', 'info', '--json'], { cwd: folder });
    expect(JSON.parse(run.stdout)).toMatchObject({ slug: 'shop' });
    const env = { GANTRY_URL: 'http://127.0.0.1:1', GANTRY_TOKEN: 'x' };
    expect((await cli.run(['apps', 'info'], { cwd: folder, env })).stderr).toContain('but GANTRY_URL is');
  });

  test('a remote elsewhere never gets the token', async () => {
    const folder = await makeRepository();
    const stranger = await FakeControlPlane.start();
    await git(folder, ['remote', 'add', 'platform', `${stranger.url}/git/shop.git`]);
    const run = await cli.run(['apps', 'info'], { cwd: folder, env: { GANTRY_TOKEN: 'mine' } });
    expect(run).toMatchObject({ code: 3 });
    expect(run.stderr).toContain(`not logged in at ${stranger.url}`);
    await stranger.stop();
  });

  test('without one the error says how to name it', async () => {
    const run = await cli.run(['ps']);
    expect(run).toMatchObject({ code: 2 });
    expect(run.stderr).toContain('Add --app NAME');
  });

  test.each([
    ['http://127.0.0.1:8081/git/hello.git', { origin: 'http://127.0.0.1:8081', slug: 'hello' }],
    ['https://token@gantry.example.org/git/a-b.git/', { origin: 'https://gantry.example.org', slug: 'a-b' }],
    ['https://example.org/team/hello.git', undefined],
    ['git@example.org:git/hello.git', undefined],
    ['file:///git/hello.git', undefined],
  ])('%s', (url, expected) => expect(parseGitUrl(url)).toEqual(expected));
});

describe('gantry apps destroy', () => {
  test('without a terminal says what would be lost and how to confirm', async () => {
    const run = await cli.run(['apps', 'destroy', 'hello']);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain('deletes 1 volume (uploads) with all their data');
    expect(run.stderr).toContain('gantry apps destroy hello --confirm hello');
    expect(fake.callsOf(userEndpoints.destroyApp)).toEqual([]);
  });

  test('with --confirm destroys, and takes the remote of this folder off', async () => {
    const folder = await makeRepository();
    await git(folder, ['remote', 'add', 'platform', `${fake.url}/git/hello.git`]);
    expect((await cli.run(['apps', 'destroy', 'hello', '--confirm', 'helo'], { cwd: folder })).code).toBe(2);
    const run = await cli.run(['apps', 'destroy', 'hello', '--confirm', 'hello'], { cwd: folder });
    expect(run.stdout).toBe('Destroyed hello\nRemoved the git remote `platform` of this folder\n');
    expect(fake.callsOf(userEndpoints.destroyApp)).toMatchObject([{ params: { app: 'hello' } }]);
    expect((await git(folder, ['remote'])).stdout).toBe('');
  });

  test('asks for the name on a terminal, and takes no other answer', async () => {
    const wrong = await cli.run(['apps', 'destroy', 'hello'], { interactive: true, input: 'yes\n' });
    expect(wrong).toMatchObject({ code: 14 });
    expect(wrong.stderr).toContain('Nothing was destroyed.');
    expect(fake.callsOf(userEndpoints.destroyApp)).toEqual([]);
    const right = await cli.run(['apps', 'destroy', 'hello'], { interactive: true, input: 'hello\n' });
    expect(right.code).toBe(0);
    expect(fake.callsOf(userEndpoints.destroyApp)).toHaveLength(1);
  });
});

test.each([
  ['Hello_World', 'hello-world'],
  ['2048', 'app-2048'],
  ['git', 'app-git'],
  ['Ünïcode', 'unicode'],
  ['---', 'app'],
  ['x', 'app-x'],
  ['a'.repeat(60), 'a'.repeat(40)],
])('the nearest app name to %s is %s', (text, expected) => expect(nearestAppName(text)).toBe(expected));
