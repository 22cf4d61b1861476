import type { ChildProcessByStdio } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type ContainerSpec, type Engine, listKernelObjects, teardownKernelObjects } from '#libs/engine';
import { deps, eventually, type Fixture, makeFixture } from './engine-fixture.ts';

let f: Fixture;
let child: ChildProcessByStdio<Writable, Readable, null>;
let lines: AsyncIterator<string>;
let engine: Engine | undefined;

beforeEach(async () => {
  f = await makeFixture();
  await f.engine.close();
  child = spawn(
    process.execPath,
    [
      '--experimental-transform-types',
      '--disable-warning=ExperimentalWarning',
      '--conditions=source',
      path.join(import.meta.dirname, 'engine-child.ts'),
      path.join(f.root, 'engine'),
      f.installationId,
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('"open"');
});

afterEach(async () => {
  if (child?.exitCode === null && child.signalCode === null) await killChild();
  await engine?.close();
  engine = undefined;
  await f?.dispose();
});

async function ask(verb: 'create' | 'start', argument: ContainerSpec | string): Promise<void> {
  child.stdin.write(`${JSON.stringify({ verb, argument })}\n`);
  expect(JSON.parse((await lines.next()).value ?? '{}').spec).toBeDefined();
}

async function killChild(): Promise<void> {
  const ended = once(child, 'close');
  child.kill('SIGKILL');
  await ended;
}

it('re-adopts what runs after kill -9, with the exits of what ended meanwhile', async () => {
  await ask(
    'create',
    f.spec('inst_runs', 'trap "exit 5" TERM; echo up; while :; do sleep 0.05; done', { network: 'bridge' }),
  );
  await ask('start', 'inst_runs');
  await ask(
    'create',
    f.spec('inst_ends', 'while [ ! -e /data/go ]; do sleep 0.02; done; echo last words; exit 9', {
      mounts: [{ source: f.root, target: '/data', ownership: 'mapped', readonly: true }],
    }),
  );
  await ask('start', 'inst_ends');
  await ask('create', f.spec('inst_waits', 'echo started late; exit 4', { network: 'bridge' }));
  await killChild();
  await writeFile(`${f.root}/go`, '');
  await eventually(
    'the exit',
    async () =>
      (await readFile(`${f.root}/engine/exits/gantry-${f.installationId}-inst_ends`, 'utf8').catch(
        () => '',
      )) || undefined,
  );

  engine = await f.open();
  expect(engine.get('inst_ends')).toMatchObject({ status: 'exited', exit: { code: 9, oomKilled: false } });
  expect(await readFile(engine.get('inst_ends')?.logFile ?? '', 'utf8')).toContain('last words');
  const running = engine.get('inst_runs');
  expect(running).toMatchObject({ status: 'running', exit: null });
  expect(running?.address).toMatch(/^100\./);
  expect(engine.get('inst_waits')).toMatchObject({ status: 'created' });
  await engine.start('inst_waits');
  expect(await engine.wait('inst_waits')).toMatchObject({ code: 4 });
  const fresh = await engine.create(f.spec('inst_new', 'true', { network: 'bridge' }));
  expect(new Set([running?.address, engine.get('inst_waits')?.address, fresh.address]).size).toBe(3);
  expect(await engine.stop('inst_runs', 10_000)).toMatchObject({ code: 5 });
  for (const { spec } of engine.list()) await engine.remove(spec.id);
});

it('removes what was half made, whatever was there already', async () => {
  await ask('create', f.spec('inst_half', 'sleep 1000', { network: 'bridge' }));
  await ask('start', 'inst_half');
  await killChild();
  await rm(`${f.root}/engine/containers/inst_half/state.json`);
  await mkdir(`${f.root}/engine/containers/inst_empty`);
  engine = await f.open();
  expect(engine.list()).toEqual([]);
  const left = await listKernelObjects(f.installationId, deps);
  expect(
    left.filter(({ kind, name }) => kind === 'mount' || kind === 'process' || name.includes('inst_half')),
  ).toEqual([]);
  await eventually('the link to go with its namespace', async () => {
    const links = (await listKernelObjects(f.installationId, deps)).filter(({ kind }) => kind === 'link');
    return links.every(({ name }) => name.endsWith('b0')) || undefined;
  });
  await engine.create(f.spec('inst_half', 'true'));
  await engine.remove('inst_half');
});

it('finishes a start that a crash cut off', async () => {
  await ask('create', f.spec('inst_cut', 'exit 6'));
  await killChild();
  const file = `${f.root}/engine/containers/inst_cut/state.json`;
  const state = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, JSON.stringify({ ...state, startedAtMs: Date.now() }));
  engine = await f.open();
  expect(await engine.wait('inst_cut')).toMatchObject({ code: 6 });
  await engine.remove('inst_cut');
});

it('calls a container ended whose process and exit code are both gone, as after a reboot', async () => {
  await ask('create', f.spec('inst_lost', 'sleep 1000', { network: 'bridge' }));
  await ask('start', 'inst_lost');
  await killChild();
  await teardownKernelObjects(f.installationId, deps);
  await rm(`${f.root}/engine/exits`, { recursive: true });
  engine = await f.open();
  expect(engine.get('inst_lost')).toMatchObject({ status: 'exited', exit: { code: 137 } });
  await engine.remove('inst_lost');
  await engine.create(f.spec('inst_again', 'exit 0', { network: 'bridge' }));
  await engine.start('inst_again');
  expect(await engine.wait('inst_again')).toMatchObject({ code: 0 });
  await engine.remove('inst_again');
});

it('notices a container whose monitor was killed', async () => {
  await killChild();
  engine = await f.open();
  await engine.create(f.spec('inst_orphan', 'sleep 1000'));
  const { pid } = await engine.start('inst_orphan');
  const state = JSON.parse(await readFile(`${f.root}/engine/containers/inst_orphan/state.json`, 'utf8'));
  process.kill(state.monitor.pid, 'SIGKILL');
  process.kill(pid ?? 0, 'SIGKILL');
  expect(await engine.wait('inst_orphan')).toMatchObject({ code: 137 });
  await engine.remove('inst_orphan');
});
