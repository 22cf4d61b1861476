import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AppFacts, type AppStep, DRAIN_LIMIT_MS, type InstanceFacts, planApp } from './plan-app.ts';

const instance = (id: string, release: string, change: Partial<InstanceFacts> = {}): InstanceFacts => ({
  id,
  service: 'web',
  release,
  state: 'healthy',
  restarts: 0,
  message: null,
  lost: false,
  createdAtMs: 0,
  drainingSinceMs: null,
  letGo: false,
  ...change,
});

const facts = (change: Partial<AppFacts> = {}): AppFacts => ({
  nowMs: 1_000,
  scale: { web: 2 },
  current: { release: 'v1', services: ['web'] },
  deployment: null,
  instances: [instance('a', 'v1'), instance('b', 'v1')],
  ...change,
});

const deployment = { release: 'v2', services: ['web'], deadlineAtMs: 60_000 };
const kinds = (steps: AppStep[]) => steps.map((step) => step.kind);

describe('planApp', () => {
  it('does nothing when everything is as desired', () => {
    expect(planApp(facts()).steps).toEqual([]);
  });

  it('creates what is missing after a scale-up and drains the newest after a scale-down', () => {
    expect(planApp(facts({ scale: { web: 3 } })).steps).toEqual([
      { kind: 'create-instance', service: 'web', release: 'v1' },
    ]);
    const down = facts({
      scale: { web: 1 },
      instances: [instance('a', 'v1', { createdAtMs: 5 }), instance('b', 'v1')],
    });
    expect(planApp(down).steps).toEqual([{ kind: 'drain-instance', instance: 'a' }]);
  });

  it('prefers to drain what is not healthy', () => {
    const plan = planApp(
      facts({
        scale: { web: 1 },
        instances: [instance('a', 'v1', { state: 'backoff' }), instance('b', 'v1')],
      }),
    );
    expect(plan.steps).toEqual([{ kind: 'drain-instance', instance: 'a' }]);
  });

  it('brings a new release up beside the old one, which keeps serving meanwhile', () => {
    const plan = planApp(facts({ deployment }));
    expect(kinds(plan.steps)).toEqual(['create-instance', 'create-instance']);
    expect(plan.waitingFor).toBe('web (0 of 2 healthy)');
    expect(plan.wakeAtMs).toBe(60_000);
  });

  it('succeeds only when every instance of the new release is healthy', () => {
    const half = [
      instance('a', 'v1'),
      instance('b', 'v1'),
      instance('c', 'v2'),
      instance('d', 'v2', { state: 'starting' }),
    ];
    expect(planApp(facts({ deployment, instances: half })).steps).toEqual([]);
    const whole = [...half.slice(0, 3), instance('d', 'v2')];
    expect(planApp(facts({ deployment, instances: whole })).steps).toEqual([{ kind: 'succeed-deployment' }]);
  });

  it('drains the old release after success, and stops it once the routers let go', () => {
    const current = { release: 'v2', services: ['web'] };
    const instances = [instance('a', 'v1'), instance('c', 'v2'), instance('d', 'v2')];
    expect(planApp(facts({ current, instances })).steps).toEqual([{ kind: 'drain-instance', instance: 'a' }]);
    const draining = { drainingSinceMs: 900 };
    const held = [instance('a', 'v1', draining), ...instances.slice(1)];
    expect(planApp(facts({ current, instances: held })).steps).toEqual([]);
    expect(planApp(facts({ current, instances: held })).wakeAtMs).toBe(900 + DRAIN_LIMIT_MS);
    const free = [instance('a', 'v1', { ...draining, letGo: true }), ...instances.slice(1)];
    expect(planApp(facts({ current, instances: free })).steps).toEqual([
      { kind: 'stop-instance', instance: 'a' },
    ]);
    expect(kinds(planApp(facts({ current, instances: held, nowMs: 900 + DRAIN_LIMIT_MS })).steps)).toEqual([
      'stop-instance',
    ]);
  });

  it.each([
    [
      'crashed and waits',
      { state: 'backoff', message: 'exited with status 1' } as const,
      'exited with status 1',
    ],
    ['cannot be created', { state: 'failed', message: 'image not found' } as const, 'image not found'],
    ['keeps crashing', { state: 'starting', restarts: 2 } as const, 'it keeps crashing'],
  ])('fails a deployment whose instance %s, naming it', (_, change, words) => {
    const instances = [instance('a', 'v1'), instance('b', 'v1'), instance('c', 'v2', change)];
    const { steps } = planApp(facts({ deployment, instances }));
    expect(steps).toEqual([
      { kind: 'fail-deployment', instance: 'c', reason: expect.stringContaining(words) },
    ]);
  });

  it('fails a deployment that is out of time', () => {
    const instances = [instance('a', 'v1'), instance('b', 'v1'), instance('c', 'v2', { state: 'starting' })];
    const { steps } = planApp(facts({ deployment, instances, nowMs: 60_000 }));
    expect(steps).toEqual([
      { kind: 'fail-deployment', instance: 'c', reason: expect.stringContaining('out of time') },
    ]);
  });

  it('an old crash of the serving release does not fail the next deployment', () => {
    const instances = [instance('a', 'v1', { state: 'backoff', restarts: 9 }), instance('b', 'v1')];
    expect(kinds(planApp(facts({ deployment, instances })).steps)).toEqual([
      'create-instance',
      'create-instance',
    ]);
  });

  it('replaces instances on a lost node', () => {
    const { steps } = planApp(
      facts({ instances: [instance('a', 'v1', { lost: true }), instance('b', 'v1')] }),
    );
    expect(steps).toEqual([
      { kind: 'create-instance', service: 'web', release: 'v1' },
      { kind: 'drain-instance', instance: 'a' },
    ]);
  });

  it('a release without services at scale zero succeeds at once', () => {
    expect(planApp(facts({ scale: { web: 0 }, deployment, instances: [] })).steps).toEqual([
      { kind: 'succeed-deployment' },
    ]);
  });

  it('never has fewer healthy instances of the serving release than desired while it deploys, whatever happens', () => {
    const change = fc.constantFrom('healthy', 'starting', 'backoff', 'failed', 'unhealthy') as fc.Arbitrary<
      InstanceFacts['state']
    >;
    fc.assert(
      fc.property(fc.array(change, { minLength: 0, maxLength: 5 }), fc.nat(90_000), (states, nowMs) => {
        const fresh = states.map((state, i) => instance(`n${i}`, 'v2', { state }));
        const plan = planApp(
          facts({ deployment, nowMs, instances: [instance('a', 'v1'), instance('b', 'v1'), ...fresh] }),
        );
        const touched = plan.steps.flatMap((step) =>
          'instance' in step && step.kind !== 'fail-deployment' ? [step.instance] : [],
        );
        expect(touched).not.toContain('a');
        expect(touched).not.toContain('b');
      }),
    );
  });
});
