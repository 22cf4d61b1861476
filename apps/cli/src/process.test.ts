import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { userEndpoints } from '#libs/contract';
import { FakeControlPlane } from './testing/fake-control-plane.ts';
import { aLine } from './testing/resources.ts';
import { TestCli } from './testing/test-cli.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));
const NODE_FLAGS = [
  '--conditions=source',
  '--experimental-transform-types',
  '--disable-warning=ExperimentalWarning',
];

/** A process from the sources takes a second on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

let cli: TestCli;
let fake: FakeControlPlane;

beforeEach(async () => {
  cli = await TestCli.create();
  fake = await FakeControlPlane.start();
  fake.on(userEndpoints.listApps, () => ({ items: [] }));
});
afterEach(async () => {
  await fake.stop();
  await cli.remove();
});

/** The CLI as a process of its own, from the sources, so that no build has to be fresh. */
function start(...args: string[]) {
  const env = { ...cli.env, PATH: process.env.PATH, GANTRY_URL: fake.url, GANTRY_TOKEN: fake.token };
  const child = spawn(process.execPath, [...NODE_FLAGS, MAIN, ...args], { env, cwd: cli.folder });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = once(child, 'close').then(([code]: unknown[]) => ({ code, stdout, stderr }));
  return { child, ended };
}

test('exit codes and output reach the shell', async () => {
  const runs = [
    ['version', '--json'],
    ['apps', '--json'],
    ['ps'],
    ['frobnicate', '--json'],
    ['ps', '-a', 'hello'],
  ];
  const [version, apps, ps, unknown, missing] = await Promise.all(runs.map((args) => start(...args).ended));
  expect(version?.code).toBe(0);
  expect(JSON.parse(version?.stdout ?? '')).toMatchObject({
    version: expect.stringMatching(/^\d+\.\d+\.\d+/),
  });
  expect(apps).toEqual({ code: 0, stdout: '{\n  "items": []\n}\n', stderr: '' });
  expect(ps).toMatchObject({ code: 2, stdout: '' });
  expect(unknown).toMatchObject({ code: 2, stdout: '' });
  expect(JSON.parse(unknown?.stderr ?? '')).toEqual({
    error: { code: 'invalid_input', message: "unknown command 'frobnicate'", hint: expect.any(String) },
  });
  expect(missing).toMatchObject({ code: 5 });
});

test('Ctrl-C ends following logs with 0, and everything else with 130', async () => {
  fake.on(userEndpoints.logs, async function* () {
    yield aLine(0, 'one');
    await new Promise(() => {});
  });
  const logs = start('logs', '-f', '-a', 'hello');
  await once(logs.child.stdout, 'data');
  logs.child.kill('SIGINT');
  expect(await logs.ended).toEqual({ code: 0, stdout: 'web.abc123 | one\n', stderr: '' });

  const asked = new Promise<void>((resolve) => {
    fake.on(userEndpoints.listNodes, () => {
      resolve();
      return new Promise(() => {});
    });
  });
  const nodes = start('nodes');
  await asked;
  nodes.child.kill('SIGINT');
  expect(await nodes.ended).toEqual({ code: 130, stdout: '', stderr: '' });
});

test('a reader that has seen enough is no error', async () => {
  fake.on(userEndpoints.logs, function* () {
    for (let i = 0; ; i++) yield aLine(i % 1000, 'x'.repeat(1000));
  });
  const { child, ended } = start('logs', '-f', '-a', 'hello');
  await once(child.stdout, 'data');
  child.stdout.destroy();
  expect(await ended).toMatchObject({ code: 0, stderr: '' });
});

test('becomes apps/standalone for `up`: same process, its exit code', async () => {
  // in the sources there is no compiled apps/standalone, so node says that it cannot find it
  const { child, ended } = start('up', '--data', '/nowhere');
  const run = await ended;
  expect(run.code).toBe(1);
  expect(run.stderr).toContain('apps/standalone/src/main.js');
  expect(child.exitCode).toBe(1);
});
