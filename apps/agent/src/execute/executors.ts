import type { Engine } from '#libs/engine';
import { errorMessage, PlatformError } from '#libs/errors';
import type { Clock } from '#libs/host';
import type { Logger } from '#libs/log';
import type { BuildRunner } from '../builds/build-runner.ts';
import type { ImageCache } from '../images/image-cache.ts';
import { type InstanceLabels, toInstanceContainer } from '../instances/container-labels.ts';
import { toContainerSpec } from '../instances/container-spec.ts';
import { describeExit } from '../instances/describe-exit.ts';
import type { InstanceRecords } from '../instances/instance-records.ts';
import type { LogShipper } from '../logs/log-shipper.ts';
import { countFailure, IMMEDIATE_RESTARTS, restartDelayMs } from '../plan/restart-policy.ts';
import type { Step } from '../plan/steps.ts';
import type { VolumeStore } from '../volumes/volume-store.ts';
import type { Executors } from './step-runner.ts';

/** How long an ended process's last lines may take to arrive before the exit is reported without them. */
export const DRAIN_TIMEOUT_MS = 2_000;

export interface ExecutorDeps {
  engine: Engine;
  images: ImageCache;
  records: InstanceRecords;
  volumes: VolumeStore;
  logs: LogShipper;
  builds: BuildRunner;
  clock: Clock;
  log: Logger;
}

/** What each kind of step does. All of them may be repeated, and may find their work already done. */
export function createExecutors(deps: ExecutorDeps): Executors {
  return {
    'pull-image': (step, signal) => pullImage(deps, step, signal),
    'create-instance': (step) => createInstance(deps, step),
    'start-instance': (step) => startInstance(deps, step),
    'kill-instance': (step) => killInstance(deps, step),
    'settle-exit': (step) => settleExit(deps, step),
    'stop-instance': (step) => stopInstance(deps, step),
    'remove-instance': (step) => removeInstance(deps, step.containerId),
    'forget-instance': (step) => deps.records.remove(step.instanceId),
    'start-build': async (step) => deps.builds.start(step.build),
    'cancel-build': (step) => deps.builds.cancel(step.buildId),
    'remove-volume': async (step) => {
      deps.log.info({ volume: step.volumeId }, 'deleting a volume that was dropped');
      await deps.volumes.remove(step.volumeId);
    },
  };
}

async function pullImage(
  deps: ExecutorDeps,
  { instance }: Step<'pull-image'>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await deps.images.fetch(instance, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const image = `${instance.image.repository}@${instance.image.digest}`;
    await countSetupFailure(deps, instance, `cannot pull image ${image}: ${errorMessage(error)}`);
    throw error;
  }
}

async function createInstance(
  deps: ExecutorDeps,
  { instance, attempt }: Step<'create-instance'>,
): Promise<void> {
  const { engine, images, volumes } = deps;
  const image = images.get(instance.image.digest);
  if (!image) return; // pruned meanwhile: the next plan pulls it
  try {
    const spec = toContainerSpec({ instance, attempt, image, volumePath: (id) => volumes.path(id) });
    if (instance.volumes.length > 0) {
      const firstHostId = await engine.idRange(instance.app.id);
      for (const volume of instance.volumes) await volumes.ensure(volume.id, firstHostId);
    }
    await engine.create(spec);
  } catch (error) {
    if (error instanceof PlatformError && error.code === 'not_found') images.forget(instance.image.digest);
    await countSetupFailure(deps, instance, `cannot create the instance: ${errorMessage(error)}`);
    throw error;
  }
}

async function startInstance(deps: ExecutorDeps, step: Step<'start-instance'>): Promise<void> {
  const { engine, logs } = deps;
  const container = engine.get(step.containerId);
  if (container) await followLog(deps, step.containerId);
  try {
    const started = await engine.start(step.containerId);
    logs.note(step.containerId, 'Process started', started.startedAtMs ?? deps.clock.now());
  } catch (error) {
    const message = `cannot start the process: ${errorMessage(error)}`;
    logs.noteEnd(step.containerId, message);
    await countSetupFailure(deps, step.instance, message);
    await removeInstance(deps, step.containerId);
    throw error;
  }
}

async function killInstance(
  deps: ExecutorDeps,
  { containerId, reason }: Step<'kill-instance'>,
): Promise<void> {
  const labels = labelsOf(deps, containerId);
  if (!labels || deps.engine.get(containerId)?.status !== 'running') return;
  deps.logs.note(containerId, reason);
  await deps.records.update(labels.instance, labels.generation, { killReason: reason });
  await deps.engine.kill(containerId, 'SIGKILL');
  await deps.engine.wait(containerId);
}

/** Lines first, then the count: whoever sees the crash reported can already read why. */
async function settleExit(deps: ExecutorDeps, step: Step<'settle-exit'>): Promise<void> {
  const { engine, logs, records } = deps;
  const { instance, containerId, attempt } = step;
  const exit = engine.get(containerId)?.exit;
  if (!exit) return;
  await followLog(deps, containerId);
  logs.noteEnd(containerId, describeExit(exit), exit.atMs);
  await logs.drain(containerId, DRAIN_TIMEOUT_MS);
  const record = records.get(instance.id, instance.generation);
  const counted = countFailure(record, exit.atMs);
  // Immediate restarts are for processes that end at once; one that sat through its whole start time has to wait.
  const failures = record.killReason === null ? counted : Math.max(counted, IMMEDIATE_RESTARTS + 1);
  const delayMs = restartDelayMs(failures);
  await records.update(instance.id, instance.generation, {
    settledAttempt: attempt,
    restarts: record.restarts + 1,
    failures,
    waitUntilMs: deps.clock.now() + delayMs,
    failure: 'crash',
    message: record.killReason ?? describeExit(exit),
    lastExit: { code: exit.code, oomKilled: exit.oomKilled, atMs: exit.atMs },
    healthySinceMs: null,
    killReason: null,
  });
  deps.log.info(
    { instance: instance.id, attempt, code: exit.code, oomKilled: exit.oomKilled, delayMs },
    'instance ended',
  );
}

async function stopInstance(
  deps: ExecutorDeps,
  { containerId, graceMs }: Step<'stop-instance'>,
): Promise<void> {
  deps.logs.note(containerId, 'Stopping process');
  const exit = await deps.engine.stop(containerId, graceMs);
  if (exit) deps.logs.noteEnd(containerId, describeExit(exit), exit.atMs);
}

async function removeInstance(deps: ExecutorDeps, containerId: string): Promise<void> {
  await deps.logs.drain(containerId, DRAIN_TIMEOUT_MS);
  await deps.logs.release(containerId);
  await deps.engine.remove(containerId);
}

/** Counts a pull, create or start that failed; the instance is `failed` while it waits for the next try. */
async function countSetupFailure(
  { records, clock }: ExecutorDeps,
  instance: { id: string; generation: number },
  message: string,
): Promise<void> {
  const record = records.get(instance.id, instance.generation);
  const failures = record.failures + 1;
  const waitUntilMs = clock.now() + restartDelayMs(failures);
  await records.update(instance.id, instance.generation, {
    failures,
    waitUntilMs,
    failure: 'setup',
    message,
  });
}

async function followLog(deps: ExecutorDeps, containerId: string): Promise<void> {
  const container = deps.engine.get(containerId);
  const labels = labelsOf(deps, containerId);
  if (!container || !labels) return;
  const { logFile, createdAtMs } = container;
  await deps.logs.follow({ containerId, instanceId: labels.instance, createdAtMs, logFile });
}

function labelsOf({ engine }: ExecutorDeps, containerId: string): InstanceLabels | undefined {
  const container = engine.get(containerId);
  return container && toInstanceContainer(container)?.labels;
}
