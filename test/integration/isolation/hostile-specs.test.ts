import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemExec } from '#libs/host';
import { eventually, type Fixture, makeFixture } from '../engine/engine-fixture.ts';

/** What a stranger's image configuration says ends up in a container's spec. */
let f: Fixture;
beforeAll(async () => {
  f = await makeFixture();
});
afterAll(() => f?.dispose());

const failure = (spec: ReturnType<Fixture['spec']>): Promise<Error> =>
  f.engine.create(spec).then(
    () => {
      throw new Error('it was created');
    },
    (error: Error) => error,
  );

describe('a spec from a hostile image', () => {
  it.each([
    ['a stop signal that is none', { stopSignal: 'SIGBOGUS' }],
    ['a NUL in the working folder', { workingDir: '/a\0b' }],
    ['a NUL in an argument', { argv: ['/bin/true', 'a\0b'] }],
    ['a NUL in a variable', { env: { A: 'b\0c' } }],
    ['a variable without a name', { env: { '': 'x' } }],
    [
      'more variables than anybody needs',
      { env: Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`V${i}`, ''])) },
    ],
    ['arguments beyond what the kernel takes', { argv: ['/bin/true', 'x'.repeat(2 << 20)] }],
  ])('is refused: %s', async (_, more) => {
    expect(await failure(f.spec('inst_bad', 'true', more))).toMatchObject({ code: 'invalid_input' });
    expect(f.engine.list()).toEqual([]);
  });

  it('is refused in few words, however long its own are', async () => {
    const { message } = await failure(
      f.spec('inst_long', 'true', { env: { [`${'K'.repeat(3 << 20)}\0`]: 'x' } }),
    );
    expect(message.length).toBeLessThan(1_000);
    expect(message).not.toContain('\0');
  });
});

/** A layer with a FIFO, in the engine's store. */
async function fifoLayer(name: string): Promise<string> {
  const tree = path.join(f.root, 'fifo');
  await mkdir(path.dirname(path.join(tree, name)), { recursive: true });
  await systemExec.run('mkfifo', [path.join(tree, name)]);
  const tar = path.join(f.root, 'fifo.tar');
  await systemExec.run('tar', ['-cf', tar, '-C', tree, '.']);
  const diffId = `sha256:${createHash('sha256')
    .update(await readFile(tar))
    .digest('hex')}`;
  await f.engine.importLayer(diffId, createReadStream(tar));
  await rm(tree, { recursive: true });
  return diffId;
}

it('refuses an image at whose list of users the runtime would wait without end', async () => {
  for (const name of ['etc/passwd', 'etc/group']) {
    const layers = [f.layer, await fifoLayer(name)];
    expect(await failure(f.spec('inst_fifo', 'true', { layers }))).toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining(`/${name} is not a file`),
    });
  }
});

it('tells how much a container has written, and how many files', async () => {
  await f.run(
    f.spec('inst_writes', 'head -c 5000000 /dev/zero > /tmp/big; for i in {1..50}; do > /tmp/$i; done'),
  );
  const { bytes, files } = await f.engine.measure('inst_writes');
  expect(bytes).toBeGreaterThanOrEqual(5_000_000);
  expect(bytes).toBeLessThan(6_000_000);
  expect(files).toBeGreaterThanOrEqual(51);
  expect(files).toBeLessThan(80); // folders and what the runtime makes count too
  await f.engine.remove('inst_writes');
});

it('stops a container whose process ignores what its image calls its stop signal', async () => {
  await f.engine.create(
    f.spec('inst_deaf', "trap '' WINCH TERM; echo deaf; while :; do sleep 1; done", {
      stopSignal: 'SIGWINCH',
    }),
  );
  await f.engine.start('inst_deaf');
  await eventually('its word', async () => (await f.output('inst_deaf')) === 'deaf');
  expect(await f.engine.stop('inst_deaf', 200)).toMatchObject({ code: 137 });
  await f.engine.remove('inst_deaf');
});

it('stops a container whose process has stopped itself', async () => {
  await f.engine.create(
    f.nodeSpec('inst_frozen', `process.kill(process.pid, 'SIGSTOP'); setInterval(() => {}, 1000);`, {
      init: true,
    }),
  );
  await f.engine.start('inst_frozen');
  await eventually('the process stopping itself', async () => {
    const init = f.engine.get('inst_frozen')?.pid;
    const child = (await readFile(`/proc/${init}/task/${init}/children`, 'utf8')).trim();
    return child !== '' && /^State:\tT/m.test(await readFile(`/proc/${child}/status`, 'utf8'));
  });
  expect(await f.engine.stop('inst_frozen', 200)).toMatchObject({ code: 137 });
  await f.engine.remove('inst_frozen');
});
