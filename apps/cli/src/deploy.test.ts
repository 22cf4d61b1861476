import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Deployment, userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { ConnectionBreak, FakeControlPlane } from './testing/fake-control-plane.ts';
import { aDeployment, anApp, anInstance, aVolume, NOW } from './testing/resources.ts';
import { TestCli } from './testing/test-cli.ts';

let cli: TestCli;
let fake: FakeControlPlane;
let deployment: Deployment;

beforeEach(async () => {
  cli = await TestCli.create();
  fake = await FakeControlPlane.start();
  deployment = aDeployment();
  fake
    .on(userEndpoints.createDeployment, () => deployment)
    .on(userEndpoints.rollback, () => deployment)
    .on(userEndpoints.showDeployment, () => deployment)
    .on(userEndpoints.showApp, () => anApp(fake.url))
    .on(userEndpoints.watchDeployment, () => {
      deployment = { ...deployment, status: 'succeeded', finishedAt: NOW };
      return [
        { at: NOW, text: 'web: starting' },
        { at: NOW, text: 'web: \u001b[2Jhealthy' },
        { at: NOW, status: 'succeeded' as const },
      ];
    });
  await cli.logins.save({ url: fake.url, token: fake.token });
});
afterEach(async () => {
  await fake.stop();
  await cli.remove();
});

const deploy = (...more: string[]) =>
  cli.run(['deploy', '-a', 'hello', '--image', 'example.org/x:1', ...more]);

function failWith(status: 'failed' | 'superseded', message: string): void {
  fake.on(userEndpoints.watchDeployment, () => {
    deployment = { ...deployment, status, message, finishedAt: NOW };
    return [{ at: NOW, status: 'failed' as const }];
  });
}

describe('gantry deploy', () => {
  test('follows the deployment: steps on stderr, the result on stdout', async () => {
    const run = await deploy();
    expect(run.code).toBe(0);
    expect(run.stdout).toBe('v5 of hello serves at http://hello.gantry.localhost:8080/\n');
    expect(run.stderr).toBe('Deploying v5 of hello\n  web: starting\n  web: healthy\n');
    expect(fake.callsOf(userEndpoints.createDeployment)).toMatchObject([
      { body: { image: 'example.org/x:1' } },
    ]);
  });

  test('--json prints the deployment as it ended, and nothing else', async () => {
    const run = await deploy('--json');
    expect(JSON.parse(run.stdout)).toMatchObject({ release: 5, status: 'succeeded' });
    expect(run.stderr).toBe('');
  });

  test.each(['--no-wait', '--detach'])('%s returns at once', async (flag) => {
    const run = await deploy(flag);
    expect(run).toMatchObject({
      code: 0,
      stdout: 'v5 of hello will serve at http://hello.gantry.localhost:8080/\n',
    });
    expect(fake.callsOf(userEndpoints.watchDeployment)).toEqual([]);
  });

  test('fails with the reason of the platform', async () => {
    failWith('failed', 'web never listened on $PORT\nlast lines:\n  boom');
    const run = await deploy();
    expect(run).toMatchObject({ code: 13, stdout: '' });
    expect(run.stderr).toContain(
      'error: v5 of hello was not put in place: web never listened on $PORT\nlast lines:',
    );
    expect(run.stderr).toContain('hint: What served before still serves.');
    deployment = aDeployment();
    const json = await deploy('--json');
    expect(JSON.parse(json.stderr)).toMatchObject({
      error: { code: 'deploy_failed', details: { deployment: deployment.id, release: 5 } },
    });
  });

  test('a newer deployment in its place is no failure of this one, but no success', async () => {
    failWith('superseded', 'v6 came');
    expect(await deploy()).toMatchObject({ code: 14, stdout: '' });
  });

  test('survives restarts of the control plane, and repeats no step', async () => {
    let watches = 0;
    fake.on(userEndpoints.watchDeployment, async function* () {
      watches++;
      if (watches === 2) throw new PlatformError('unavailable', 'still starting');
      yield { at: NOW, text: 'one' };
      if (watches === 1) throw new ConnectionBreak();
      yield { at: NOW, text: 'two' };
      if (watches === 3) return; // ended in order, but not at its end
      yield { at: NOW, text: 'three' };
      deployment = { ...deployment, status: 'succeeded' };
      yield { at: NOW, status: 'succeeded' as const };
    });
    const run = await deploy();
    expect(run.code).toBe(0);
    expect(watches).toBe(4);
    expect(run.stderr.match(/^ {2}.*$/gm)).toEqual(['  one', '  two', '  three']);
  });

  test('ends when the deployment ended but the platform forgot its steps', async () => {
    fake.on(userEndpoints.watchDeployment, () => {
      deployment = { ...deployment, status: 'succeeded' };
      return [];
    });
    expect(await deploy()).toMatchObject({ code: 0 });
  });

  test('stops following on Ctrl-C with 130', async () => {
    const interrupt = new AbortController();
    fake.on(userEndpoints.watchDeployment, async function* () {
      yield { at: NOW, text: 'one' };
      interrupt.abort();
      await new Promise<void>((resolve) => setTimeout(resolve, 50));
    });
    const run = await cli.run(['deploy', '-a', 'hello', '--image', 'x'], { signal: interrupt.signal });
    expect(run.code).toBe(130);
    expect(run.stderr).not.toContain('error');
  });

  test('does not retry what another try cannot cure', async () => {
    fake.on(userEndpoints.watchDeployment, () => {
      throw new PlatformError('not_found', 'there is no app hello');
    });
    expect(await deploy()).toMatchObject({ code: 5 });
  });
});

describe('gantry rollback', () => {
  test.each([
    [[], undefined],
    [['v3'], 3],
    [['3'], 3],
  ])('%j', async (args, release) => {
    expect((await cli.run(['rollback', ...args, '-a', 'hello'])).code).toBe(0);
    expect(fake.callsOf(userEndpoints.rollback)).toMatchObject([
      { body: release === undefined ? {} : { release } },
    ]);
  });

  test.each(['v0', 'latest', '-1', '1e3'])('refuses %s', async (name) => {
    expect(await cli.run(['rollback', '-a', 'hello', '--', name])).toMatchObject({ code: 2 });
  });
});

describe('gantry config', () => {
  beforeEach(() => {
    fake
      .on(userEndpoints.changeConfig, ({ body }) => ({ config: { B: '1', ...body.set }, deployment }))
      .on(userEndpoints.showConfig, () => ({ B: 'two\nlines', A: 'x' }));
  });

  test('set keeps all of a value, follows the deployment and fails with it', async () => {
    const run = await cli.run(['config', 'set', 'A=x=y z', 'EMPTY=', '-a', 'hello', '--json']);
    expect(run.code).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({
      config: { A: 'x=y z', EMPTY: '' },
      deployment: { status: 'succeeded' },
    });
    deployment = aDeployment();
    failWith('failed', 'crashed');
    expect(await cli.run(['config', 'unset', 'A', '-a', 'hello'])).toMatchObject({ code: 13 });
    expect(fake.callsOf(userEndpoints.changeConfig).map(({ body }) => body)).toEqual([
      { set: { A: 'x=y z', EMPTY: '' } },
      { unset: ['A'] },
    ]);
  });

  test('set on an app that runs nothing has nothing to follow', async () => {
    fake.on(userEndpoints.changeConfig, () => ({ config: { A: '1' }, deployment: null }));
    const run = await cli.run(['config', 'set', 'A=1', '-a', 'hello']);
    expect(run).toMatchObject({ code: 0, stdout: 'A  1\n' });
    expect(run.stderr).toContain('from the first release on');
  });

  test('list is sorted, one line each; get prints the very value', async () => {
    expect((await cli.run(['config', '-a', 'hello'])).stdout).toBe('A  x\nB  two\\nlines\n');
    expect((await cli.run(['config', 'get', 'B', '-a', 'hello'])).stdout).toBe('two\nlines\n');
    expect(await cli.run(['config', 'get', 'C', '-a', 'hello'])).toMatchObject({ code: 5, stdout: '' });
    expect(await cli.run(['config', 'get', 'constructor', '-a', 'hello'])).toMatchObject({ code: 5 });
  });

  test.each([
    [['set', 'A']],
    [['set', '1A=x']],
    [['set', '=x']],
    [['set', 'A=1', 'A=2']],
    [['unset', 'A=1']],
    [['set']],
  ])('refuses %j before it calls anybody', async (args) => {
    expect(await cli.run(['config', ...args, '-a', 'hello'])).toMatchObject({ code: 2 });
    expect(fake.calls).toEqual([]);
  });
});

describe('gantry scale', () => {
  beforeEach(() => {
    fake.on(userEndpoints.scale, () => anApp(fake.url));
  });

  test('waits until the instances are there and no others', async () => {
    const states = [
      [anInstance('a')],
      [anInstance('a'), anInstance('b', { state: 'starting' })],
      [anInstance('a'), anInstance('b'), anInstance('c', { draining: true })],
      [
        anInstance('a'),
        anInstance('b'),
        anInstance('c', { state: 'stopped' }),
        anInstance('d', { service: 'db' }),
      ],
    ];
    fake.on(userEndpoints.listInstances, () => ({ items: states.shift() ?? [] }));
    const run = await cli.run(['scale', 'web=2', '-a', 'hello']);
    expect(run.code).toBe(0);
    expect(run.stderr).toBe(
      '  web: 1 of 2 healthy\n  web: 1 of 2 healthy, 1 on the way\n  web: 2 of 2 healthy, 1 on the way\n' +
        '  web: 2 of 2 healthy\n',
    );
    expect(fake.callsOf(userEndpoints.scale)).toMatchObject([{ body: { scale: { web: 2 } } }]);
  });

  test('waits through a restart of the control plane', async () => {
    let polls = 0;
    fake.on(userEndpoints.listInstances, () => {
      if (++polls === 1) throw new PlatformError('unavailable', 'starting');
      return { items: [] };
    });
    expect(await cli.run(['scale', 'web=0', '-a', 'hello'])).toMatchObject({ code: 0 });
  });

  test('fails as soon as an instance cannot come up', async () => {
    const failed = anInstance('bad', { state: 'failed', message: 'no such image' });
    fake.on(userEndpoints.listInstances, () => ({ items: [anInstance('a'), failed] }));
    const run = await cli.run(['scale', 'web=2', '-a', 'hello']);
    expect(run).toMatchObject({ code: 13 });
    expect(run.stderr).toContain('web.bad000 of hello does not come up: no such image');
  });

  test('without arguments shows; without a release or with --no-wait does not wait', async () => {
    expect((await cli.run(['scale', '-a', 'hello'])).stdout).toBe(
      'SERVICE  SCALE  HEALTHY\nweb      1      1\n',
    );
    expect((await cli.run(['scale', 'web=3', '-a', 'hello', '--no-wait'])).code).toBe(0);
    fake.on(userEndpoints.scale, () => anApp(fake.url, { release: null }));
    expect((await cli.run(['scale', 'web=3', '-a', 'hello'])).stderr).toContain('has no release yet');
    expect(fake.callsOf(userEndpoints.listInstances)).toEqual([]);
  });

  test.each(['web', 'web=', 'web=-1', 'web=21', 'Web=1', '=1', 'web=1.5'])('refuses %s', async (pair) => {
    expect(await cli.run(['scale', '-a', 'hello', pair])).toMatchObject({ code: 2 });
    expect(fake.calls).toEqual([]);
  });
});

describe('gantry volumes', () => {
  test('create follows the deployment that it makes', async () => {
    fake.on(userEndpoints.createVolume, ({ body }) => ({ volume: aVolume(body.name, body), deployment }));
    const run = await cli.run(['volumes', 'create', 'uploads', '--mount', '/data', '-a', 'hello']);
    expect(run).toMatchObject({ code: 0 });
    expect(run.stdout).toBe(
      'Created uploads at /data\nv5 of hello serves at http://hello.gantry.localhost:8080/\n',
    );
  });

  test.each([
    [['create', 'uploads']],
    [['create', 'uploads', '--mount', 'data']],
    [['create', 'uploads', '--mount', '/etc/x']],
    [['create', 'Up', '--mount', '/data']],
    [['destroy', 'uploads']],
  ])('refuses %j', async (args) => {
    expect(await cli.run(['volumes', ...args, '-a', 'hello'])).toMatchObject({ code: 2 });
    expect(fake.calls).toEqual([]);
  });

  test('destroy needs the name once more', async () => {
    fake.on(userEndpoints.destroyVolume, () => undefined);
    const run = await cli.run([
      'volumes',
      'destroy',
      'uploads',
      '--confirm',
      'uploads',
      '-a',
      'hello',
      '--json',
    ]);
    expect(JSON.parse(run.stdout)).toEqual({ destroyed: 'uploads' });
  });
});
