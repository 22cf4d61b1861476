import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '#libs/host';
import type { Step } from '../plan/steps.ts';
import { DIGEST, desiredInstance } from '../testing/desired.ts';
import { type Executors, StepRunner } from './step-runner.ts';

type Run = (step: Step, signal: AbortSignal) => Promise<void>;

function setUp(run: Run) {
  const clock = new FakeClock(1_000);
  const failed: string[] = [];
  let settled = 0;
  const executors: Executors = {
    'pull-image': run,
    'create-instance': run,
    'start-instance': run,
    'kill-instance': run,
    'settle-exit': run,
    'stop-instance': run,
    'remove-instance': run,
    'forget-instance': run,
    'start-build': run,
    'cancel-build': run,
    'remove-volume': run,
  };
  const runner = new StepRunner({
    executors,
    clock,
    onSettled: () => {
      settled += 1;
    },
    onFailed: (step) => failed.push(step.key),
  });
  return { runner, clock, failed, settled: () => settled };
}

const remove = (key: string): Step => ({ kind: 'remove-instance', key, containerId: key });
const pull = (): Step => {
  const instance = desiredInstance({ image: { repository: 'a/b', digest: DIGEST, source: 'platform' } });
  return { kind: 'pull-image', key: instance.id, instance };
};

describe('StepRunner', () => {
  it('lets no organization take all the room for what may hang', async () => {
    const started: string[] = [];
    const { runner } = setUp(async ({ key }) => {
      started.push(key);
      await new Promise(() => {});
    });
    const other = desiredInstance({ organization: { id: 'org_00000000000000000001' } });
    const theirs: Step = { kind: 'pull-image', key: other.id, instance: other };
    const steps = [...Array.from({ length: 10 }, pull), theirs];
    runner.apply(steps);
    await setImmediate();
    expect(started).toEqual([steps[0]?.key, steps[1]?.key, theirs.key]);
  });

  it('runs one step per key, different keys together, and no more of a kind than its limit', async () => {
    const gate = Promise.withResolvers<void>();
    const started: string[] = [];
    const { runner, settled } = setUp(async ({ key }) => {
      started.push(key);
      await gate.promise;
    });
    const steps = Array.from({ length: 20 }, (_, n) => remove(`k${n}`));
    runner.apply(steps);
    runner.apply(steps);
    await setImmediate();
    expect(started).toEqual(['k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7']);
    gate.resolve();
    await setImmediate();
    expect(settled()).toBe(8);
    runner.apply(steps.slice(8));
    await setImmediate();
    expect(started).toHaveLength(16);
  });

  it('leaves a failing key alone, longer each time, and tries it again', async () => {
    let tries = 0;
    const { runner, clock, failed } = setUp(() => {
      tries += 1;
      return Promise.reject(new Error('no'));
    });
    const attempt = async () => {
      runner.apply([remove('k')]);
      await setImmediate();
    };
    await attempt();
    await attempt();
    expect(tries).toBe(1);
    clock.advance(500);
    await attempt();
    expect(tries).toBe(2);
    expect(runner.nextRetryMs()).toBe(clock.now() + 1_000);
    clock.advance(999);
    await attempt();
    expect(tries).toBe(2);
    clock.advance(1);
    await attempt();
    expect(failed).toEqual(['k', 'k', 'k']);
  });

  it('aborts a pull that the plan no longer holds, and does not count that as a failure', async () => {
    const { runner, failed } = setUp((_, signal) => {
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    });
    const step = pull();
    runner.apply([step]);
    runner.apply([step]);
    await setImmediate();
    expect(runner.running(step.key)).toBe('pull-image');
    runner.apply([]);
    await setImmediate();
    expect(runner.running(step.key)).toBeUndefined();
    expect(failed).toEqual([]);
  });
});
