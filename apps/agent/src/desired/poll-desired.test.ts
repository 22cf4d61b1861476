import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { PlatformError } from '#libs/errors';
import { systemClock } from '#libs/host';
import { createLogger, silentLogger } from '#libs/log';
import { ControlPlane } from '../control-plane/control-plane.ts';
import { retryDelayMs } from '../control-plane/retry-delay.ts';
import { desiredInstance } from '../testing/desired.ts';
import { FakeControlPlane, NODE_TOKEN } from '../testing/fake-control-plane.ts';
import { DesiredStore } from './desired-store.ts';
import { pollDesired } from './poll-desired.ts';

describe('retryDelayMs', () => {
  it('doubles up to five seconds, spread over its upper half', () => {
    const of = (random: number) => [1, 2, 3, 6, 50].map((attempt) => retryDelayMs(attempt, () => random));
    expect(of(0)).toEqual([100, 200, 400, 2_500, 2_500]);
    expect(of(1)).toEqual([200, 400, 800, 5_000, 5_000]);
  });
});

describe('pollDesired', () => {
  it('gets every new state, also after the control plane was away, with one warning and one all-clear', async () => {
    const controlPlane = new FakeControlPlane();
    await controlPlane.up();
    const said: string[] = [];
    const log = createLogger({ name: 'test', destination: { write: (line) => said.push(line) } });
    const link = new ControlPlane({ url: controlPlane.url, token: NODE_TOKEN, clock: systemClock, log });
    const stop = new AbortController();
    const versions: number[] = [];
    const attempted = Promise.withResolvers<void>();
    const polling = pollDesired(
      {
        controlPlane: link,
        clock: systemClock,
        log,
        version: () => versions.at(-1) ?? -1,
        onAnswer: async (state) => void (state && versions.push(state.version)),
        onFirstAttempt: attempted.resolve,
      },
      stop.signal,
    );
    await attempted.promise;
    controlPlane.want({ instances: [desiredInstance()] });
    await controlPlane.until(() => versions.at(-1) === 1 || undefined);
    await controlPlane.down();
    await expect.poll(() => link.away).toBe(true);
    const reportingInVain = link
      .call({ ...endpointOf(), name: 'x' }, {}, stop.signal)
      .catch((error: unknown) => error);
    expect(await reportingInVain).toBeInstanceOf(PlatformError);
    await controlPlane.up();
    controlPlane.want({ instances: [] });
    await controlPlane.until(() => versions.at(-1) === 2 || undefined);
    stop.abort();
    await polling;
    await controlPlane.down();
    expect(said.map((line) => JSON.parse(line).level)).toEqual(['warn', 'info']);
  });
});

function endpointOf() {
  return { method: 'GET', path: '/', summary: '', audience: 'node' } as const;
}

describe('DesiredStore', () => {
  it('puts an unreadable file aside instead of acting on it', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'desired-test-'));
    const file = path.join(folder, 'desired.json');
    const store = await DesiredStore.open(file, silentLogger());
    await store.replace({ version: 3, instances: [], builds: [], volumes: [] });
    const again = await DesiredStore.open(file, silentLogger());
    expect([again.version, again.fresh, store.fresh]).toEqual([3, false, true]);
    await writeFile(file, '{"version": 3, "inst');
    expect((await DesiredStore.open(file, silentLogger())).state).toBeNull();
    expect(await readdir(folder)).toEqual(['desired.json.unreadable']);
    await rm(folder, { recursive: true });
  });
});
