import type { DesiredBuild, DesiredInstance, DesiredState } from '#libs/contract';
import type { Health } from '../health/health.ts';
import type { InstanceContainer } from '../instances/container-labels.ts';
import type { InstanceRecord } from '../instances/instance-records.ts';
import type { Step } from './steps.ts';

/** Builds that run at the same time on a node, each of another app; the rest wait. */
export const MAX_RUNNING_BUILDS = 2;

export interface NodeFacts {
  /** Milliseconds since the epoch. */
  now: number;
  /** Null until a desired state has ever been known: then nothing is touched. */
  desired: DesiredState | null;
  /** True when the control plane itself gave `desired` to this process, false when it was read from disk. */
  fresh: boolean;
  containers: readonly InstanceContainer[];
  records: ReadonlyMap<string, InstanceRecord>;
  /** By container id. */
  health: ReadonlyMap<string, Health>;
  /** Digests, as desired, whose layers are here. */
  readyImages: ReadonlySet<string>;
  builds: ReadonlyMap<string, BuildFacts>;
  volumes: readonly VolumeFacts[];
}

export interface BuildFacts {
  appId: string;
  status: 'running' | 'finished';
}

export interface VolumeFacts {
  id: string;
  /** The latest desired version that listed it; null when none is known to have. */
  listedInVersion: number | null;
}

/**
 * The next step of everything that differs from what is desired. Pure: the same facts give the same plan, and
 * the plan is made anew after every event, so a step that is lost is planned again.
 */
export function planNode(facts: NodeFacts): Step[] {
  const { desired } = facts;
  if (!desired) return [];
  const byInstance = Map.groupBy(facts.containers, (container) => container.labels.instance);
  const steps: Step[] = [];
  for (const instance of desired.instances) {
    const step = planInstance(facts, instance, byInstance.get(instance.id) ?? []);
    if (step) steps.push(step);
  }
  const wanted = new Set(desired.instances.map((instance) => instance.id));
  for (const [id, containers] of byInstance) {
    if (wanted.has(id)) continue;
    const step = firstOf(containers.map(planRemoval));
    if (step) steps.push(step);
  }
  for (const id of facts.records.keys()) {
    if (!wanted.has(id) && !byInstance.has(id))
      steps.push({ kind: 'forget-instance', key: id, instanceId: id });
  }
  return [...steps, ...planBuilds(facts, desired.builds), ...planVolumes(facts, desired)];
}

/** When the plan changes without an event: the end of the nearest back-off, or null. */
export function nextWakeMs(facts: Pick<NodeFacts, 'now' | 'desired' | 'records'>): number | null {
  const waits = (facts.desired?.instances ?? []).flatMap((instance) => {
    const record = facts.records.get(instance.id);
    const until = record?.generation === instance.generation ? record.waitUntilMs : null;
    return until !== null && until > facts.now ? [until] : [];
  });
  return waits.length === 0 ? null : Math.min(...waits);
}

/** The container that is the instance's current attempt: of the desired generation, the latest. */
export function currentContainer(
  instance: Pick<DesiredInstance, 'generation'>,
  containers: readonly InstanceContainer[],
): InstanceContainer | undefined {
  return containers
    .filter((container) => container.labels.generation === instance.generation)
    .reduce<InstanceContainer | undefined>(
      (latest, one) => (latest && latest.labels.attempt > one.labels.attempt ? latest : one),
      undefined,
    );
}

function planInstance(
  facts: NodeFacts,
  instance: DesiredInstance,
  containers: readonly InstanceContainer[],
): Step | undefined {
  const key = instance.id;
  const current = currentContainer(instance, containers);
  const stale = firstOf(containers.filter((one) => one !== current).map(planRemoval));
  if (stale) return stale;
  const record = facts.records.get(key);
  const known = record?.generation === instance.generation ? record : undefined;
  if (current) return planCurrent(facts, instance, current, known);
  if (known?.waitUntilMs != null && known.waitUntilMs > facts.now) return undefined;
  if (!facts.readyImages.has(instance.image.digest)) return { kind: 'pull-image', key, instance };
  return { kind: 'create-instance', key, instance, attempt: (known?.settledAttempt ?? 0) + 1 };
}

function planCurrent(
  facts: NodeFacts,
  instance: DesiredInstance,
  { labels, container }: InstanceContainer,
  record: InstanceRecord | undefined,
): Step | undefined {
  const key = instance.id;
  const containerId = container.spec.id;
  switch (container.status) {
    case 'created':
      return { kind: 'start-instance', key, instance, containerId };
    case 'running': {
      const reason = facts.health.get(containerId)?.startFailure;
      return reason ? { kind: 'kill-instance', key, containerId, reason } : undefined;
    }
    case 'exited':
      if (labels.attempt <= (record?.settledAttempt ?? 0))
        return { kind: 'remove-instance', key, containerId };
      return { kind: 'settle-exit', key, instance, containerId, attempt: labels.attempt };
  }
}

function planRemoval({ labels, container }: InstanceContainer): Step {
  const key = labels.instance;
  const containerId = container.spec.id;
  if (container.status !== 'running') return { kind: 'remove-instance', key, containerId };
  return { kind: 'stop-instance', key, containerId, graceMs: labels.stopGraceSeconds * 1000 };
}

function planBuilds(facts: NodeFacts, desired: readonly DesiredBuild[]): Step[] {
  const wanted = new Set(desired.map((build) => build.id));
  const steps: Step[] = [];
  for (const id of facts.builds.keys()) {
    if (!wanted.has(id)) steps.push({ kind: 'cancel-build', key: id, buildId: id });
  }
  const running = [...facts.builds.values()].filter(({ status }) => status === 'running');
  const busyApps = new Set(running.map(({ appId }) => appId));
  for (const build of desired) {
    if (facts.builds.has(build.id) || busyApps.has(build.app.id) || busyApps.size >= MAX_RUNNING_BUILDS)
      continue;
    busyApps.add(build.app.id);
    steps.push({ kind: 'start-build', key: build.id, build });
  }
  return steps;
}

/**
 * A volume is deleted only when the control plane itself dropped it: it was listed in an older version, this newer
 * one came from the control plane in this run and is not empty, and no container uses it any more.
 */
function planVolumes(facts: NodeFacts, desired: DesiredState): Step[] {
  const empty = desired.instances.length + desired.volumes.length + desired.builds.length === 0;
  if (!facts.fresh || empty) return [];
  const kept = new Set(desired.volumes.map((volume) => volume.id));
  for (const { labels } of facts.containers) for (const id of labels.volumes) kept.add(id);
  for (const instance of desired.instances) for (const volume of instance.volumes) kept.add(volume.id);
  return facts.volumes
    .filter(({ id, listedInVersion }) => {
      return !kept.has(id) && listedInVersion !== null && desired.version > listedInVersion;
    })
    .map(({ id }) => ({ kind: 'remove-volume', key: id, volumeId: id }));
}

function firstOf(steps: readonly Step[]): Step | undefined {
  return steps[0];
}
