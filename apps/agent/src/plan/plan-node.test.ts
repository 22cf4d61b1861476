import { describe, expect, it } from 'vitest';
import type { DesiredBuild, DesiredInstance, DesiredState } from '#libs/contract';
import type { ContainerStatus } from '#libs/engine';
import { type InstanceContainer, toInstanceContainer } from '../instances/container-labels.ts';
import { toContainerSpec } from '../instances/container-spec.ts';
import { type InstanceRecord, newRecord } from '../instances/instance-records.ts';
import { DIGEST, desiredBuild, desiredInstance, makeId } from '../testing/desired.ts';
import { type BuildFacts, type NodeFacts, nextWakeMs, planNode } from './plan-node.ts';

const NOW = 1_000_000;
const instance = desiredInstance();
const image = {
  digest: DIGEST,
  layers: [],
  config: { user: '', env: [], entrypoint: [], cmd: ['x'], workingDir: '', labels: {} },
};

function container(status: ContainerStatus, attempt = 1, of: DesiredInstance = instance): InstanceContainer {
  const found = toInstanceContainer({
    spec: toContainerSpec({ instance: of, attempt, image, volumePath: (id) => `/volumes/${id}` }),
    status,
    pid: status === 'running' ? 1 : null,
    address: '10.0.0.2',
    createdAtMs: NOW,
    startedAtMs: status === 'created' ? null : NOW,
    exit: status === 'exited' ? { code: 1, oomKilled: false, atMs: NOW } : null,
    logFile: '/log',
  });
  if (!found) throw new Error('its own labels must be readable');
  return found;
}

function record(change: Partial<InstanceRecord>): Map<string, InstanceRecord> {
  return new Map([[instance.id, { ...newRecord(instance.id, instance.generation), ...change }]]);
}

function desire(change: Partial<DesiredState> = {}): DesiredState {
  return { version: 5, instances: [], builds: [], volumes: [], ...change };
}

function plan(facts: Partial<NodeFacts>) {
  return planNode({
    now: NOW,
    desired: desire({ instances: [instance] }),
    fresh: true,
    containers: [],
    records: new Map(),
    health: new Map(),
    readyImages: new Set([DIGEST]),
    builds: new Map(),
    volumes: [],
    ...facts,
  });
}

const key = instance.id;
const idOf = (attempt: number) => `${instance.id}_0_${attempt}`;

describe('the plan for a desired instance', () => {
  const cases: [string, Partial<NodeFacts>, object[]][] = [
    [
      'nothing there, image missing: pull',
      { readyImages: new Set() },
      [{ kind: 'pull-image', key, instance }],
    ],
    ['image there: create', {}, [{ kind: 'create-instance', key, instance, attempt: 1 }]],
    [
      'created: start',
      { containers: [container('created')] },
      [{ kind: 'start-instance', key, instance, containerId: idOf(1) }],
    ],
    ['running: nothing', { containers: [container('running')] }, []],
    [
      'running, but never listened: kill',
      {
        containers: [container('running')],
        health: new Map([[idOf(1), { status: 'unhealthy', sinceMs: NOW, startFailure: 'did not listen' }]]),
      },
      [{ kind: 'kill-instance', key, containerId: idOf(1), reason: 'did not listen' }],
    ],
    [
      'running and unhealthy after all was well: left alone',
      {
        containers: [container('running')],
        health: new Map([[idOf(1), { status: 'unhealthy', sinceMs: NOW, startFailure: null }]]),
      },
      [],
    ],
    [
      'ended: settle first',
      { containers: [container('exited')] },
      [{ kind: 'settle-exit', key, instance, containerId: idOf(1), attempt: 1 }],
    ],
    [
      'ended and settled: remove, also during back-off',
      { containers: [container('exited')], records: record({ settledAttempt: 1, waitUntilMs: NOW + 1 }) },
      [{ kind: 'remove-instance', key, containerId: idOf(1) }],
    ],
    ['in back-off: wait', { records: record({ settledAttempt: 1, waitUntilMs: NOW + 1 }) }, []],
    [
      'back-off over: next attempt',
      { records: record({ settledAttempt: 1, waitUntilMs: NOW }) },
      [{ kind: 'create-instance', key, instance, attempt: 2 }],
    ],
    [
      'a record of an older generation holds nothing up',
      { records: record({ generation: -1, settledAttempt: 7, waitUntilMs: NOW + 9 }) },
      [{ kind: 'create-instance', key, instance, attempt: 1 }],
    ],
    [
      'an older attempt still runs beside the current one: stop it first',
      { containers: [container('running', 1), container('created', 2)] },
      [{ kind: 'stop-instance', key, containerId: idOf(1), graceMs: 10_000 }],
    ],
    [
      'of an older generation, running: stop with its own grace',
      { containers: [container('running', 1, { ...instance, generation: 9, stopGraceSeconds: 3 })] },
      [{ kind: 'stop-instance', key, containerId: `${instance.id}_9_1`, graceMs: 3_000 }],
    ],
  ];
  it.each(cases)('%s', (_, facts, steps) => {
    expect(plan(facts)).toEqual(steps);
  });
});

describe('what is not desired', () => {
  const nothing = desire({ version: 6 });

  it('is stopped while it runs, removed once it has ended, forgotten at last', () => {
    expect(plan({ desired: nothing, containers: [container('running')] })).toMatchObject([
      { kind: 'stop-instance' },
    ]);
    expect(plan({ desired: nothing, containers: [container('exited')] })).toMatchObject([
      { kind: 'remove-instance' },
    ]);
    expect(plan({ desired: nothing, containers: [container('created')] })).toMatchObject([
      { kind: 'remove-instance' },
    ]);
    expect(plan({ desired: nothing, records: record({}) })).toEqual([
      { kind: 'forget-instance', key, instanceId: instance.id },
    ]);
  });

  it('is left alone as long as no desired state is known', () => {
    const builds = new Map([['bld_x', { appId: 'app_x', status: 'running' as const }]]);
    expect(plan({ desired: null, containers: [container('running')], records: record({}), builds })).toEqual(
      [],
    );
  });
});

describe('builds', () => {
  const build = (n: number) => desiredBuild({ app: { id: `app_0000000000000000000${n}`, slug: 'some' } });
  const [a, b, c] = [build(1), build(2), build(3)];
  const running = (one: DesiredBuild): [string, BuildFacts] => [
    one.id,
    { appId: one.app.id, status: 'running' },
  ];
  const finished = (one: DesiredBuild): [string, BuildFacts] => [
    one.id,
    { appId: one.app.id, status: 'finished' },
  ];
  const keys = (builds: DesiredBuild[], known: NodeFacts['builds']) =>
    plan({ desired: desire({ builds }), builds: known }).map((step) => `${step.kind} ${step.key}`);

  it('two at a time; a finished one makes room but is not run again', () => {
    expect(keys([a, b, c], new Map())).toEqual([`start-build ${a.id}`, `start-build ${b.id}`]);
    expect(keys([a, b, c], new Map([running(a), running(b)]))).toEqual([]);
    expect(keys([a, b, c], new Map([finished(a), running(b)]))).toEqual([`start-build ${c.id}`]);
  });

  it('one at a time of an app, also while its cancelled one still ends', () => {
    const again = desiredBuild({ app: a.app });
    expect(keys([a, again], new Map())).toEqual([`start-build ${a.id}`]);
    expect(keys([again], new Map([running(a)]))).toEqual([`cancel-build ${a.id}`]);
  });
});

describe('volumes', () => {
  const id = makeId('vol');
  const dropped = { id, listedInVersion: 4 };
  const removed = (facts: Partial<NodeFacts>) => {
    const readyImages = new Set<string>();
    return plan({ readyImages, volumes: [dropped], ...facts }).some((step) => step.kind === 'remove-volume');
  };
  const mounting = { ...instance, volumes: [{ id, name: 'data', mountPath: '/data' }] };

  it('are deleted when a newer state from the control plane has dropped them', () => {
    expect(removed({})).toBe(true);
  });

  it.each<[string, Partial<NodeFacts>]>([
    ['the state is an old one from disk', { fresh: false }],
    ['the state is empty', { desired: desire() }],
    ['no state is known', { desired: null }],
    ['no version is known to have listed it', { volumes: [{ id, listedInVersion: null }] }],
    ['the state is not newer', { volumes: [{ id, listedInVersion: 5 }] }],
    ['the state lists it', { desired: desire({ volumes: [{ id, name: 'data', app: instance.app }] }) }],
    ['a desired instance mounts it', { desired: desire({ instances: [mounting] }) }],
    ['a container still uses it', { containers: [container('running', 1, mounting)] }],
  ])('are kept when %s', (_, facts) => {
    expect(removed(facts)).toBe(false);
  });
});

describe('nextWakeMs', () => {
  it('is the end of the nearest back-off of what is desired', () => {
    const desired = desire({ instances: [instance] });
    expect(nextWakeMs({ now: NOW, desired, records: record({ waitUntilMs: NOW + 5 }) })).toBe(NOW + 5);
    expect(nextWakeMs({ now: NOW, desired, records: record({ waitUntilMs: NOW }) })).toBeNull();
    expect(nextWakeMs({ now: NOW, desired: desire(), records: record({ waitUntilMs: NOW + 5 }) })).toBeNull();
  });
});
