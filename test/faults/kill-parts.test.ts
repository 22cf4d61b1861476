import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SourceRepo } from '../e2e/source-repo.ts';
import { ask, Traffic } from '../e2e/traffic.ts';
import { type Platform, startPlatform } from '../platform.ts';
import { waitFor } from '../wait-for.ts';

let platform: Platform;
let repo: SourceRepo;
const HOST = 'tough.gantry.localhost';

beforeAll(async () => {
  platform = await startPlatform();
  repo = await SourceRepo.create('express', platform.env);
  await platform.cli(['login', '--data', platform.dataDir]);
  await platform.cli(['apps', 'create', 'tough'], { cwd: repo.folder });
  expect((await repo.push()).code).toBe(0);
});
afterAll(async () => {
  await repo?.remove();
  await platform?.down();
});

const get = (path = '/') => ask(platform.httpPort, HOST, { path });

interface Part {
  name: string;
  pid: number | null;
  state: string;
  restarts: number;
}

async function parts(): Promise<Part[]> {
  const { stdout } = await platform.cli(['status', '--data', platform.dataDir, '--json']);
  return (JSON.parse(stdout) as { children: Part[] }).children;
}

/** Kills a part of the platform with SIGKILL and waits until another is up in its place. */
async function kill(name: string): Promise<void> {
  const before = (await parts()).find((part) => part.name === name);
  expect(before?.pid).toBeGreaterThan(1);
  process.kill(before?.pid ?? 0, 'SIGKILL');
  await waitFor(async () => {
    const now = (await parts()).find((part) => part.name === name);
    expect(now?.pid).not.toBe(before?.pid);
    expect(now?.state).toBe('up');
  });
}

describe('kill -9 of one part at a time, while requests flow', () => {
  it.each(['agent', 'control-plane', 'redis', 'postgres'])(
    '%s: no request fails and the app’s process is the same',
    async (name) => {
      const born = (await get('/process')).body;
      const traffic = new Traffic(platform.httpPort, HOST);
      await kill(name);
      await traffic.stop();
      expect(traffic.failures).toEqual([]);
      expect(traffic.total).toBeGreaterThan(20);
      expect((await get('/process')).body).toBe(born);
    },
  );

  it('router: new connections wait for the next one; only requests in flight are cut', async () => {
    const born = (await get('/process')).body;
    const lanes = 4;
    const traffic = new Traffic(platform.httpPort, HOST, lanes);
    await kill('router');
    await waitFor(async () => expect((await get()).status).toBe(200));
    await traffic.stop();
    expect(traffic.failures.length).toBeLessThanOrEqual(lanes);
    expect((await get('/process')).body).toBe(born);
  });

  it('after all of that a push still works', async () => {
    await repo.write('greeting.txt', 'still here');
    await repo.commit('still here');
    const pushed = await repo.push();
    expect(pushed.stderr).toContain(HOST);
    expect(pushed.code).toBe(0);
    expect((await get()).body).toContain('still here');
  });

  it('the control plane stopped: the router serves on', async () => {
    const control = (await parts()).find((part) => part.name === 'control-plane');
    process.kill(control?.pid ?? 0, 'SIGSTOP');
    try {
      const traffic = new Traffic(platform.httpPort, HOST);
      await waitFor(() => expect(traffic.total).toBeGreaterThan(200));
      await traffic.stop();
      expect(traffic.failures).toEqual([]);
    } finally {
      process.kill(control?.pid ?? 0, 'SIGCONT');
    }
  });
});

describe('a second platform on the same machine', () => {
  it('runs beside the first, and going down leaves that one alone', async () => {
    const second = await startPlatform();
    try {
      expect((await ask(second.httpPort, HOST)).status).toBe(404);
      expect((await get()).status).toBe(200);
    } finally {
      await second.down();
    }
    expect((await get()).status).toBe(200);
  });
});

describe('kill -9 of the supervisor', () => {
  it('leaves the app running, and the next up takes it over', async () => {
    const born = (await get('/process')).body;
    const { stdout } = await platform.cli(['status', '--data', platform.dataDir, '--json']);
    const { pid } = JSON.parse(stdout) as { pid: number };
    process.kill(pid, 'SIGKILL');
    platform = await startPlatform({
      dataDir: platform.dataDir,
      httpPort: platform.httpPort,
      apiPort: platform.apiPort,
    });
    await waitFor(async () => expect((await get('/process')).body).toBe(born));
  });
});
