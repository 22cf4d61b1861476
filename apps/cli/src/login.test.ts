import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Identity, userEndpoints } from '#libs/contract';
import { FakeControlPlane } from './testing/fake-control-plane.ts';
import { idOf } from './testing/resources.ts';
import { TestCli } from './testing/test-cli.ts';

const IDENTITY: Identity = {
  user: { id: idOf('usr', 'ada'), name: 'ada' },
  organization: { id: idOf('org', 'main'), slug: 'main' },
  role: 'owner',
  operator: true,
};

let cli: TestCli;
let fake: FakeControlPlane;

beforeEach(async () => {
  cli = await TestCli.create();
  fake = await FakeControlPlane.start();
  fake.on(userEndpoints.identity, () => IDENTITY).on(userEndpoints.listApps, () => ({ items: [] }));
});
afterEach(async () => {
  await fake.stop();
  await cli.remove();
});

describe('gantry login', () => {
  test('finds the platform of this machine and stores the login for this user alone', async () => {
    await cli.writeAdminFile(fake.url, fake.token);
    const run = await cli.run(['login']);
    expect(run).toMatchObject({ code: 0, stdout: `Logged in at ${fake.url} as ada (owner of main)\n` });
    const file = cli.logins.file;
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({
      current: fake.url,
      hosts: { [fake.url]: { token: fake.token } },
    });
    expect(await cli.run(['apps', 'list'])).toMatchObject({ code: 0 });
  });

  test('reads a token from standard input', async () => {
    const run = await cli.run(['login', '--url', `${fake.url}/`, '--token', '-', '--json'], {
      input: `${fake.token}\nmore`,
    });
    expect(run.code).toBe(0);
    expect(JSON.parse(run.stdout)).toEqual({ url: fake.url, ...IDENTITY });
    expect(await cli.logins.current()).toEqual({ url: fake.url, token: fake.token });
  });

  test('asks for the token on a terminal without showing it', async () => {
    const run = await cli.run(['login', '--url', fake.url], {
      interactive: true,
      input: `x\u007f${fake.token}\r`,
    });
    expect(run.code).toBe(0);
    expect(run.stdout + run.stderr).not.toContain(fake.token);
    expect(await cli.logins.find(fake.url)).toEqual({ url: fake.url, token: fake.token });
  });

  test('stores nothing when the platform refuses the token', async () => {
    const run = await cli.run(['login', '--url', fake.url, '--token', '-'], { input: 'wrong\n' });
    expect(run.code).toBe(3);
    expect(run.stderr).toMatch(/^error: the token is not valid\nhint: Log in again/);
    expect(await cli.logins.current()).toBeUndefined();
  });

  test('takes no token from the command line, where others can read it', async () => {
    const run = await cli.run(['login', '--url', fake.url, '--token', fake.token]);
    expect(run.code).toBe(2);
    expect(run.stderr).not.toContain(fake.token);
  });

  test('keeps several platforms, and switches between them without their tokens', async () => {
    const other = await FakeControlPlane.start();
    other.on(userEndpoints.identity, () => IDENTITY);
    await cli.run(['login', '--url', fake.url, '--token', '-'], { input: fake.token });
    await cli.run(['login', '--url', other.url, '--token', '-'], { input: other.token });
    expect((await cli.logins.current())?.url).toBe(other.url);
    expect((await cli.run(['login', '--url', fake.url])).code).toBe(0);
    expect((await cli.logins.current())?.url).toBe(fake.url);
    const out = await cli.run(['logout']);
    expect(out.stdout).toBe(`Logged out of ${fake.url}\n`);
    expect(out.stderr).toContain(`Other logins: ${other.url}`);
    expect(await cli.logins.urls()).toEqual([other.url]);
    await other.stop();
  });

  test.each([
    [['login'], 5, 'admin.json does not exist'],
    [['login', '--url', 'ftp://example.org', '--token', '-'], 2, 'is not the address of a platform'],
    [['login', '--url', 'http://ada:pw@example.org'], 2, 'is not the address of a platform'],
    [['login', '--token', '-'], 2, '--token needs --url'],
    [['login', '--url', 'http://127.0.0.1:1'], 2, 'no token for http://127.0.0.1:1'],
    [['login', '--url', 'http://127.0.0.1:1', '--token', '-'], 2, 'the token is empty'],
    [['logout'], 5, 'not logged in'],
  ])('%j ends with %i: %s', async (args, code, text) => {
    const run = await cli.run(args);
    expect(run.code).toBe(code);
    expect(run.stderr).toContain(text);
    expect(run.stderr).toContain('hint: ');
  });

  test('says so when the stored logins are broken', async () => {
    await cli.run(['login', '--url', fake.url, '--token', '-'], { input: fake.token });
    await writeFile(cli.logins.file, '{');
    const run = await cli.run(['apps']);
    expect(run).toMatchObject({ code: 2 });
    expect(run.stderr).toContain('cannot be read');
  });

  test('tightens the mode of a file that was loose', async () => {
    await cli.run(['login', '--url', fake.url, '--token', '-'], { input: fake.token });
    await chmod(cli.logins.file, 0o644);
    await cli.run(['login', '--url', fake.url]);
    expect((await stat(cli.logins.file)).mode & 0o777).toBe(0o600);
  });
});

describe('which platform', () => {
  test('GANTRY_URL and GANTRY_TOKEN need no login', async () => {
    const env = { GANTRY_URL: fake.url, GANTRY_TOKEN: fake.token };
    expect(JSON.parse((await cli.run(['apps', 'list', '--json'], { env })).stdout)).toEqual({ items: [] });
  });

  test('GANTRY_TOKEN alone does not say for which', async () => {
    const run = await cli.run(['apps'], { env: { GANTRY_TOKEN: fake.token } });
    expect(run).toMatchObject({ code: 3 });
    expect(run.stderr).toContain('hint: Set GANTRY_URL too.');
  });

  test('without a login the hint depends on whether this machine has a platform', async () => {
    expect((await cli.run(['apps'])).stderr).toBe(
      'error: not logged in\n' +
        'hint: Run `gantry login --url URL` with a token, or start a platform here with `gantry up`.\n',
    );
    await cli.writeAdminFile(fake.url, fake.token);
    expect((await cli.run(['apps'])).stderr).toContain(
      'hint: This machine runs a platform: run `gantry login`.',
    );
  });

  test('a platform that is not there ends with 11', async () => {
    const env = { GANTRY_URL: 'http://127.0.0.1:1', GANTRY_TOKEN: 'x' };
    const run = await cli.run(['apps', '--json'], { env });
    expect(run.code).toBe(11);
    expect(JSON.parse(run.stderr)).toMatchObject({
      error: { code: 'unavailable', hint: expect.any(String) },
    });
  });
});

describe('gantry status', () => {
  const status = {
    version: '0.1.0',
    domain: 'gantry.localhost',
    ready: false,
    components: [{ name: 'router', status: 'down' as const, message: 'not seen for 30 s' }],
    apps: 2,
    instances: 1,
  };

  test('of a platform on this machine comes from apps/standalone', async () => {
    await cli.writeAdminFile(fake.url, fake.token);
    await cli.run(['status', '--json']);
    expect(cli.became).toEqual([
      [
        process.execPath,
        '/opt/gantry/dist/apps/standalone/src/main.js',
        'status',
        '--data',
        `${cli.home}/data`,
        '--json',
      ],
    ]);
  });

  test('of one elsewhere comes from its API, and fails while it is not ready', async () => {
    fake.on(userEndpoints.status, () => status);
    const run = await cli.run(['status'], { env: { GANTRY_URL: fake.url, GANTRY_TOKEN: fake.token } });
    expect(run.code).toBe(11);
    expect(run.stdout).toContain('router     down    not seen for 30 s\n');
    expect(run.stderr).toContain('the platform is not ready: router');
    fake.on(userEndpoints.status, () => ({ ...status, ready: true, components: [] }));
    expect(
      await cli.run(['status'], { env: { GANTRY_URL: fake.url, GANTRY_TOKEN: fake.token } }),
    ).toMatchObject({
      code: 0,
    });
  });

  test('up and down hand over all they were told', async () => {
    await cli.run([
      'up',
      '--data',
      '/srv/g',
      '--domain',
      'x.test',
      '--http-port',
      '80',
      '--api-port',
      '81',
      '--detach',
    ]);
    await cli.run(['down', '--data', '/srv/g']);
    const main = '/opt/gantry/dist/apps/standalone/src/main.js';
    const options = ['--domain', 'x.test', '--http-port', '80', '--api-port', '81', '--detach'];
    expect(cli.became.map(([, ...args]) => args)).toEqual([
      [main, 'up', '--data', '/srv/g', ...options],
      [main, 'down', '--data', '/srv/g'],
    ]);
  });
});
