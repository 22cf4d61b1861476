import { afterEach, beforeEach, expect, test } from 'vitest';
import { userEndpoints } from '#libs/contract';
import { FakeControlPlane } from './testing/fake-control-plane.ts';
import { anApp, anInstance, aRelease, aVolume, idOf, NOW } from './testing/resources.ts';
import { TestCli } from './testing/test-cli.ts';

let cli: TestCli;
let fake: FakeControlPlane;
const token = { id: idOf('tok', 'ci'), name: 'ci', createdAt: NOW, lastUsedAt: null };

beforeEach(async () => {
  cli = await TestCli.create();
  fake = await FakeControlPlane.start();
  fake
    .on(userEndpoints.listApps, () => ({
      items: [anApp(fake.url), anApp(fake.url, { slug: 'shop', release: null })],
    }))
    .on(userEndpoints.showApp, () => anApp(fake.url))
    .on(userEndpoints.listReleases, () => ({ items: [aRelease(2, { current: true }), aRelease(1)] }))
    .on(userEndpoints.listInstances, () => ({
      items: [
        anInstance('abc123'),
        anInstance('def', {
          state: 'backoff',
          draining: true,
          restarts: 4,
          startedAt: null,
          lastExit: { code: 137, oomKilled: true, at: NOW },
        }),
      ],
    }))
    .on(userEndpoints.listVolumes, () => ({ items: [aVolume('uploads')] }))
    .on(userEndpoints.listTokens, () => ({ items: [token] }))
    .on(userEndpoints.createToken, ({ body }) => ({ ...token, name: body.name, secret: 'gty_secret' }))
    .on(userEndpoints.revokeToken, () => undefined)
    .on(userEndpoints.listNodes, () => ({
      items: [
        {
          id: idOf('nod', 'a'),
          name: 'box',
          status: 'ready' as const,
          memoryBytes: 24 * 2 ** 30,
          cpus: 2,
          instances: 3,
          version: '0.1.0',
          lastSeenAt: NOW,
        },
      ],
    }));
  await cli.logins.save({ url: fake.url, token: fake.token });
});
afterEach(async () => {
  await fake.stop();
  await cli.remove();
});

/** A table's cells. */
async function table(...args: string[]): Promise<string[][]> {
  const run = await cli.run(args);
  expect(run).toMatchObject({ code: 0, stderr: '' });
  const lines = run.stdout.trimEnd().split('\n');
  return lines.map((line) => line.split(/ {2,}/));
}

test('tables', async () => {
  const when = expect.stringMatching(/ago$|^just now$/);
  expect(await table('apps')).toEqual([
    ['NAME', 'STATUS', 'RELEASE', 'CREATED', 'URL'],
    ['hello', 'running', 'v4', when, 'http://hello.gantry.localhost:8080/'],
    ['shop', 'running', '-', when, 'http://shop.gantry.localhost:8080/'],
  ]);
  expect(await table('releases', '-a', 'hello')).toEqual([
    ['RELEASE', 'STATE', 'REASON', 'IMAGE', 'CREATED'],
    ['v2', 'current', 'build #2', 'ab12ab12ab12', when],
    ['v1', 'build #1', 'ab12ab12ab12', when],
  ]);
  expect(await table('ps', '-a', 'hello')).toEqual([
    ['INSTANCE', 'STATE', 'RELEASE', 'NODE', 'RESTARTS', 'STARTED', 'MESSAGE'],
    ['web.abc123', 'healthy', 'v5', 'node-a', '0', when],
    ['web.def000', 'backoff, draining', 'v5', 'node-a', '4', '-', expect.stringContaining('out of memory')],
  ]);
  expect(await table('volumes', '-a', 'hello')).toEqual([
    ['NAME', 'MOUNT', 'NODE', 'CREATED'],
    ['uploads', '/data', 'not used yet', when],
  ]);
  expect(await table('tokens')).toEqual([
    ['ID', 'NAME', 'CREATED', 'LAST USED'],
    [token.id, 'ci', when, 'never'],
  ]);
  expect(await table('nodes')).toEqual([
    ['NODE', 'STATUS', 'INSTANCES', 'CPUS', 'MEMORY', 'VERSION', 'LAST SEEN'],
    ['box', 'ready', '3', '2', '24 GiB', '0.1.0', when],
  ]);
  expect((await table('apps', 'info', 'hello')).slice(0, 5)).toEqual([
    ['hello'],
    ['url', 'http://hello.gantry.localhost:8080/'],
    ['status', 'running'],
    ['release', 'v4'],
    ['services', 'web 1/1'],
  ]);
});

test.each([
  ['apps'],
  ['releases -a hello'],
  ['ps -a hello'],
  ['volumes -a hello'],
  ['tokens'],
  ['nodes'],
  ['apps info hello'],
  ['open -a hello'],
  ['version'],
])('%s --json is one document', async (line) => {
  const { code, stdout, stderr } = await cli.run([...line.split(' '), '--json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toBeTypeOf('object');
});

test('an empty list says on stderr what to do, and no items as JSON', async () => {
  fake.on(userEndpoints.listApps, () => ({ items: [] }));
  expect(await cli.run(['apps'])).toMatchObject({
    code: 0,
    stdout: '',
    stderr: expect.stringContaining('apps create'),
  });
  expect(await cli.run(['apps', '--json'])).toEqual({ code: 0, stdout: '{\n  "items": []\n}\n', stderr: '' });
});

test('a new token is alone on stdout', async () => {
  const run = await cli.run(['tokens', 'create', 'ci']);
  expect(run.stdout).toBe('gty_secret\n');
  expect(run.stderr).toContain('not shown again');
  expect((await cli.run(['tokens', 'revoke', token.id])).code).toBe(0);
  expect(fake.callsOf(userEndpoints.revokeToken)).toMatchObject([{ params: { id: token.id } }]);
  expect((await cli.run(['tokens', 'revoke', 'ci'])).code).toBe(2);
  expect((await cli.run(['tokens', 'create', ''])).code).toBe(2);
});

test('an address that is no web address is not opened', async () => {
  fake.on(userEndpoints.showApp, () => anApp(fake.url, { url: 'file:///etc/passwd' }));
  expect(await cli.run(['open', '-a', 'hello'])).toMatchObject({ code: 9, stdout: '' });
});

test('help needs no platform, and names every verb that is not hidden', async () => {
  const { code, stdout } = await cli.run([]);
  expect(code).toBe(0);
  for (const verb of ['apps', 'logs', 'up', 'test', 'check', 'help'])
    expect(stdout).toMatch(new RegExp(`^ {2}${verb} `, 'm'));
  expect(stdout).not.toContain('git-credential');
  expect((await cli.run(['help', 'apps', 'create'])).stdout).toContain(
    'Usage: gantry apps create [options] [name]',
  );
  expect((await cli.run(['help', 'scale'])).stdout).toContain('gantry scale web=2 worker=1');
  expect((await cli.run(['apps', '--help'])).stdout).toContain('destroy');
});

test.each([
  [['deplyo'], "unknown command 'deplyo'", 'Did you mean deploy?'],
  [['help', 'lgos'], "unknown command 'lgos'", 'Did you mean logs?'],
  [['apps', 'creat'], "unknown command 'creat'", 'Did you mean create?'],
  [['ps', '--jsno'], "unknown option '--jsno'", 'Did you mean --json?'],
  [['builds', 'frob'], "unknown command 'frob'", '`gantry help builds` says how it is used.'],
  [['--app', 'x', 'ps'], '--app comes before a verb', 'Options follow the verb'],
  [['ps', 'extra'], 'too many arguments', '`gantry help ps` says how it is used.'],
  [['apps', 'destroy'], "missing required argument 'name'", 'gantry help apps'],
  [['logs', '--tail'], "option '-n, --tail <count>' argument missing", 'gantry help logs'],
  [['deploy', '-a', 'hello'], 'There is no --image', 'git push platform main'],
  [['test'], 'runs only in a checkout', './gantry test'],
])('%j is wrong usage', async (args, message, hint) => {
  const run = await cli.run(args);
  expect(run.code).toBe(args[0] === 'test' ? 9 : 2);
  expect(run.stderr.split('\n')[0]).toContain(message);
  expect(run.stderr.split('\n')[1]).toContain(hint);
  expect(run.stdout).toBe('');
});
