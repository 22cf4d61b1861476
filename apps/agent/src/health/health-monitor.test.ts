import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '#libs/host';
import { silentLogger } from '#libs/log';
import type { Health } from './health.ts';
import { HealthMonitor, type HealthTarget } from './health-monitor.ts';

const target: HealthTarget = {
  containerId: 'c',
  kind: 'tcp',
  host: '10.0.0.2',
  port: 8080,
  startedAtMs: 0,
  startTimeoutSeconds: 60,
  lastKnown: { status: 'starting', sinceMs: 0 },
};

function setUp(accepts: () => boolean) {
  const clock = new FakeClock(0);
  const changes: Health[] = [];
  const probedAt: number[] = [];
  const monitor = new HealthMonitor({
    clock,
    log: silentLogger(),
    probe: async () => {
      probedAt.push(clock.now());
      return accepts();
    },
    onChange: (_, health) => changes.push(health),
  });
  /** Moves in steps small enough for every timer to be set before it falls due. */
  const advance = async (ms: number) => {
    for (let left = ms; left > 0; left -= 10) {
      await setImmediate();
      clock.advance(Math.min(left, 10));
    }
    await setImmediate();
  };
  return { monitor, changes, probedAt, advance };
}

describe('a new instance', () => {
  it('is probed soon and often, then less often, until it listens', async () => {
    let listening = false;
    const { monitor, changes, probedAt, advance } = setUp(() => listening);
    monitor.watch([target]);
    await advance(4_000);
    expect(probedAt.slice(0, 5)).toEqual([0, 20, 40, 60, 80]);
    const gaps = probedAt.slice(1).map((at, i) => ({ at, gap: at - (probedAt[i] ?? 0) }));
    for (const { at, gap } of gaps) expect(gap).toBeLessThanOrEqual(Math.max(at / 10, 20) + 10);
    expect(gaps.at(-1)?.gap).toBe(250);
    listening = true;
    await advance(250);
    expect(changes).toMatchObject([{ status: 'healthy', startFailure: null }]);
    monitor.close();
  });

  it('that does not listen within its time limit has failed to start', async () => {
    const { monitor, changes, advance } = setUp(() => false);
    monitor.watch([target]);
    await advance(59_990);
    expect(changes).toEqual([]);
    await advance(20);
    expect(changes).toMatchObject([{ startFailure: 'did not listen on $PORT (8080) within 60 s' }]);
    monitor.close();
  });

  it('without a port is healthy once it has run a second', async () => {
    const { monitor, changes, probedAt, advance } = setUp(() => false);
    monitor.watch([{ ...target, kind: 'none' }]);
    await advance(990);
    expect(changes).toEqual([]);
    await advance(10);
    expect(changes).toMatchObject([{ status: 'healthy' }]);
    expect(probedAt).toEqual([]);
    monitor.close();
  });
});

describe('a healthy instance', () => {
  it('turns unhealthy after three failures in a row, and healthy again with the first success', async () => {
    const answers = [true, true, false, false, true, false, false, false, true];
    const { monitor, changes, advance } = setUp(() => answers.shift() ?? true);
    monitor.watch([target]);
    await advance(45_000);
    expect(changes.map(({ status, sinceMs }) => [status, sinceMs])).toEqual([
      ['healthy', 0],
      ['unhealthy', 35_000],
      ['healthy', 40_000],
    ]);
    monitor.close();
  });

  it('found running by a new agent stays healthy, is probed at once, and is never taken for a failed start', async () => {
    const { monitor, changes, probedAt, advance } = setUp(() => false);
    monitor.watch([
      { ...target, lastKnown: { status: 'healthy', sinceMs: -500_000 }, startedAtMs: -600_000 },
    ]);
    expect(monitor.all.get('c')?.status).toBe('healthy');
    await advance(11_000);
    expect(probedAt).toEqual([0, 5_000, 10_000]);
    expect(changes).toEqual([{ status: 'unhealthy', sinceMs: 10_000, startFailure: null }]);
    monitor.close();
  });
});
