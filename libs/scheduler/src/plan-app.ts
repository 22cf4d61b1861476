import type { InstanceState } from '#libs/contract';

/** Restarts of a new instance after which its deployment is given up: it crashed, was tried again, and crashed again. */
const MAX_RESTARTS_IN_DEPLOYMENT = 2;
/** An instance that left the routes is stopped after this long even if a router never let go of it. */
export const DRAIN_LIMIT_MS = 30_000;

export interface InstanceFacts {
  id: string;
  service: string;
  release: string;
  state: InstanceState;
  restarts: number;
  message: string | null;
  /** On a node that is lost while others could take its place. */
  lost: boolean;
  createdAtMs: number;
  drainingSinceMs: number | null;
  /** Every live router has stopped sending it requests and has none in flight. */
  letGo: boolean;
}

export interface AppFacts {
  nowMs: number;
  /** Wanted number of instances by service name. */
  scale: Readonly<Record<string, number>>;
  current: { release: string; services: readonly string[] } | null;
  deployment: { release: string; services: readonly string[]; deadlineAtMs: number } | null;
  /** All that the nodes should run or may still run, stopped ones left out. */
  instances: readonly InstanceFacts[];
}

export type AppStep =
  | { kind: 'create-instance'; service: string; release: string }
  | { kind: 'drain-instance'; instance: string }
  | { kind: 'stop-instance'; instance: string }
  | { kind: 'succeed-deployment' }
  | { kind: 'fail-deployment'; reason: string; instance: string | null };

export interface AppPlan {
  steps: AppStep[];
  /** When to look again even if nothing happens. */
  wakeAtMs: number | null;
  /** One line on what a running deployment waits for. */
  waitingFor: string | null;
}

/**
 * What to do next for one app, from facts alone. A deployment first brings up every instance of its release beside the
 * old ones and waits until all are healthy; only then do the routes move and the old ones drain. One that cannot get
 * healthy changes nothing but itself. Repeating the plan on the same facts gives the same steps.
 */
export function planApp(facts: AppFacts): AppPlan {
  const deployment = facts.deployment;
  const failure = deployment ? findFailure(facts, deployment) : null;
  if (failure) {
    // The failed release's instances go at the next plan, when it is no longer a deployment.
    return { steps: [{ kind: 'fail-deployment', ...failure }], wakeAtMs: facts.nowMs, waitingFor: null };
  }
  const steps: AppStep[] = [];
  const keep = new Set<string>();
  const holders = [facts.current, deployment].filter((holder) => holder !== null);
  for (const { release, services } of holders) {
    for (const service of services) steps.push(...scaleService(facts, { release, service }, keep));
  }
  steps.push(...retire(facts, keep));
  if (!deployment) return { steps, wakeAtMs: nextDrainEnd(facts), waitingFor: null };
  const waitingFor = missing(facts, deployment);
  if (!waitingFor)
    return { steps: [{ kind: 'succeed-deployment' }], wakeAtMs: facts.nowMs, waitingFor: null };
  const wakes = [deployment.deadlineAtMs, nextDrainEnd(facts)].filter((at) => at !== null);
  return { steps, wakeAtMs: Math.min(...wakes), waitingFor };
}

function ofService(facts: AppFacts, release: string, service: string): InstanceFacts[] {
  return facts.instances.filter(
    (instance) =>
      instance.release === release &&
      instance.service === service &&
      instance.drainingSinceMs === null &&
      !instance.lost,
  );
}

function wanted(facts: AppFacts, service: string): number {
  return facts.scale[service] ?? 0;
}

/** Steps that bring one service of one release to its scale; what stays is added to `keep`. Healthy and old ones stay first. */
function scaleService(
  facts: AppFacts,
  of: { release: string; service: string },
  keep: Set<string>,
): AppStep[] {
  const rank = (instance: InstanceFacts) => (instance.state === 'healthy' ? 0 : 1);
  const have = ofService(facts, of.release, of.service).sort(
    (a, b) => rank(a) - rank(b) || a.createdAtMs - b.createdAtMs || a.id.localeCompare(b.id),
  );
  const count = wanted(facts, of.service);
  for (const instance of have.slice(0, count)) keep.add(instance.id);
  const missingCount = Math.max(0, count - have.length);
  return Array.from({ length: missingCount }, () => ({ kind: 'create-instance', ...of }) as const);
}

/** Drains what nothing keeps, and stops what has drained. A healthy one leaves the routes first; others have no requests. */
function retire(facts: AppFacts, keep: ReadonlySet<string>): AppStep[] {
  const steps: AppStep[] = [];
  for (const instance of facts.instances) {
    if (keep.has(instance.id)) continue;
    if (instance.drainingSinceMs === null) steps.push({ kind: 'drain-instance', instance: instance.id });
    else if (instance.letGo || facts.nowMs - instance.drainingSinceMs >= DRAIN_LIMIT_MS) {
      steps.push({ kind: 'stop-instance', instance: instance.id });
    }
  }
  return steps;
}

function nextDrainEnd(facts: AppFacts): number | null {
  const ends = facts.instances.flatMap((i) =>
    i.drainingSinceMs === null ? [] : [i.drainingSinceMs + DRAIN_LIMIT_MS],
  );
  return ends.length ? Math.min(...ends) : null;
}

type Deployment = NonNullable<AppFacts['deployment']>;

function findFailure(
  facts: AppFacts,
  deployment: Deployment,
): { reason: string; instance: string | null } | null {
  const own = facts.instances.filter(
    (i) => i.release === deployment.release && i.drainingSinceMs === null && !i.lost,
  );
  const crashed = own.find(
    (i) => i.state === 'backoff' || i.state === 'failed' || i.restarts >= MAX_RESTARTS_IN_DEPLOYMENT,
  );
  if (crashed)
    return {
      reason: `${crashed.service} does not start: ${crashed.message ?? 'it keeps crashing'}`,
      instance: crashed.id,
    };
  if (facts.nowMs < deployment.deadlineAtMs) return null;
  const slow = own.find((instance) => instance.state !== 'healthy');
  const what = missing(facts, deployment) ?? 'its instances';
  return {
    reason: `out of time waiting for ${what}${slow?.message ? `: ${slow.message}` : ''}`,
    instance: slow?.id ?? null,
  };
}

function missing(facts: AppFacts, deployment: Deployment): string | null {
  const parts: string[] = [];
  for (const service of deployment.services) {
    const healthy = ofService(facts, deployment.release, service).filter((i) => i.state === 'healthy').length;
    if (healthy < wanted(facts, service))
      parts.push(`${service} (${healthy} of ${wanted(facts, service)} healthy)`);
  }
  return parts.length ? parts.join(', ') : null;
}
