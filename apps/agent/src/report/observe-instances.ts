import type { DesiredInstance, ObservedInstance } from '#libs/contract';
import type { InstanceContainer } from '../instances/container-labels.ts';
import type { InstanceRecord } from '../instances/instance-records.ts';
import { currentContainer, type NodeFacts } from '../plan/plan-node.ts';
import type { StepKind } from '../plan/steps.ts';

export type ObserveFacts = Pick<NodeFacts, 'now' | 'desired' | 'containers' | 'records' | 'health'> & {
  /** The step that runs for an instance right now. */
  running: (instanceId: string) => StepKind | undefined;
};

/** What is reported of every instance that is desired or still there. Pure. */
export function observeInstances(facts: ObserveFacts): ObservedInstance[] {
  const byInstance = Map.groupBy(facts.containers, ({ labels }) => labels.instance);
  const observed: ObservedInstance[] = [];
  for (const instance of facts.desired?.instances ?? []) {
    observed.push(observeDesired(facts, instance, byInstance.get(instance.id) ?? []));
    byInstance.delete(instance.id);
  }
  for (const containers of byInstance.values()) {
    const latest = containers.reduce((a, b) => (b.labels.generation > a.labels.generation ? b : a));
    const leaving = facts.desired !== null;
    observed.push({
      ...blank(latest.labels.instance, latest.labels.generation, undefined),
      ...(leaving ? { state: 'stopping' as const } : running(facts, latest, undefined)),
    });
  }
  return observed;
}

function observeDesired(
  facts: ObserveFacts,
  instance: DesiredInstance,
  containers: readonly InstanceContainer[],
): ObservedInstance {
  const stored = facts.records.get(instance.id);
  const record = stored?.generation === instance.generation ? stored : undefined;
  const base = blank(instance.id, instance.generation, record);
  const current = currentContainer(instance, containers);
  if (current && current.labels.attempt > (record?.settledAttempt ?? 0)) {
    return { ...base, ...running(facts, current, record) };
  }
  if (facts.running(instance.id) === 'pull-image') return { ...base, state: 'pulling' };
  const waits = record?.waitUntilMs != null && record.waitUntilMs > facts.now;
  if (waits) return { ...base, state: record.failure === 'setup' ? 'failed' : 'backoff' };
  return { ...base, state: record?.failure === 'crash' ? 'starting' : 'pending' };
}

function running(
  facts: ObserveFacts,
  { labels, container }: InstanceContainer,
  record: InstanceRecord | undefined,
): Partial<ObservedInstance> {
  if (container.status === 'created') return { state: 'starting' };
  const health = facts.health.get(container.spec.id);
  if (container.status === 'exited') {
    // Its last lines are on their way; until they have arrived, only that it does not serve any more is said.
    return { state: record?.healthyAttempt === labels.attempt ? 'unhealthy' : 'starting' };
  }
  const state =
    health?.status === 'unhealthy' && health.startFailure ? 'starting' : (health?.status ?? 'starting');
  return {
    state,
    address: container.address === null ? null : { host: container.address, port: labels.port },
    startedAt: container.startedAtMs === null ? null : new Date(container.startedAtMs).toISOString(),
    ...(state === 'healthy' ? { message: null } : {}),
    ...(state === 'unhealthy' ? { message: `does not accept connections on port ${labels.port}` } : {}),
  };
}

function blank(id: string, generation: number, record: InstanceRecord | undefined): ObservedInstance {
  const exit = record?.lastExit;
  return {
    id,
    generation,
    state: 'pending',
    address: null,
    restarts: record?.restarts ?? 0,
    lastExit: exit
      ? { code: exit.code, oomKilled: exit.oomKilled, at: new Date(exit.atMs).toISOString() }
      : null,
    message: record?.message ?? null,
    startedAt: null,
  };
}
