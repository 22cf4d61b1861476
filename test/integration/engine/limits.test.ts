import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, type Fixture, makeFixture } from './engine-fixture.ts';

let f: Fixture;
beforeAll(async () => {
  f = await makeFixture();
});
afterAll(() => f?.dispose());

const HOG = `const kept = []; for (;;) kept.push(Buffer.alloc(8 << 20, 1));`;

it('ends a container that takes more memory than its limit, and says so', async () => {
  const resources = { memoryBytes: 96 << 20, cpus: 2, pids: 64 };
  const result = await f.run(f.nodeSpec('inst_oom', HOG, { resources }));
  expect(result).toMatchObject({ code: 137, oomKilled: true });
  await f.engine.remove('inst_oom');
});

it('does not call a plain SIGKILL an OOM kill', async () => {
  expect(
    await f.run(
      f.spec('inst_killed', 'kill -KILL $$; sleep 5', { argv: ['/bin/sh', '-c', 'sleep 0; exit 137'] }),
    ),
  ).toMatchObject({
    code: 137,
    oomKilled: false,
  });
  await f.engine.remove('inst_killed');
});

it('stops a fork bomb at its pids limit, and the container can still be removed', async () => {
  const resources = { memoryBytes: 128 << 20, cpus: 1, pids: 20 };
  const bomb = 'for i in {1..60}; do sleep 100 & done; echo started; wait';
  await f.engine.create(f.spec('inst_bomb', bomb, { resources }));
  await f.engine.start('inst_bomb');
  await eventually('a fork fails', async () =>
    /fork: .*(retry|Resource temporarily unavailable)/.test(await f.output('inst_bomb')),
  );
  const exit = await f.engine.stop('inst_bomb', 2000);
  expect(exit).not.toBeNull();
  await f.engine.remove('inst_bomb');
});

it('gives no more processor time than the quota', async () => {
  const burn = `const start = process.cpuUsage(); const end = Date.now() + 1500; while (Date.now() < end);
    const { user, system } = process.cpuUsage(start); console.log('cpu=' + Math.round((user + system) / 1000));`;
  const resources = { memoryBytes: 256 << 20, cpus: 0.3, pids: 64 };
  const { output } = await f.run(f.nodeSpec('inst_cpu', burn, { resources }));
  const cpuMs = Number(/cpu=(\d+)/.exec(output)?.[1]);
  expect(cpuMs).toBeGreaterThan(100);
  expect(cpuMs).toBeLessThan(750); // 450 by the quota, and what a busy machine's periods round up
  await f.engine.remove('inst_cpu');
});

it('lets the app see its own memory limit, so that runtimes size their heaps by it', async () => {
  const resources = { memoryBytes: 200 << 20, cpus: 1, pids: 64 };
  const { output } = await f.run(
    f.nodeSpec('inst_sees', 'console.log(process.constrainedMemory())', { resources }),
  );
  expect(Number(output)).toBe(200 << 20);
  await f.engine.remove('inst_sees');
});
