import { availableParallelism, hostname, totalmem } from 'node:os';
import { type DesiredState, type ObservedState, VERSION } from '#libs/contract';
import type { Engine } from '#libs/engine';
import { errorMessage, PlatformError } from '#libs/errors';
import { type Clock, diskSpace } from '#libs/host';
import type { Logger } from '#libs/log';
import { BuildRunner, type BuildRunnerDeps } from './builds/build-runner.ts';
import type { AgentPaths } from './config.ts';
import type { ControlPlane } from './control-plane/control-plane.ts';
import { DesiredStore } from './desired/desired-store.ts';
import { pollDesired } from './desired/poll-desired.ts';
import { DiskGuard } from './disk/disk-guard.ts';
import { createExecutors } from './execute/executors.ts';
import { StepRunner } from './execute/step-runner.ts';
import type { Health } from './health/health.ts';
import { HealthMonitor, type HealthTarget } from './health/health-monitor.ts';
import type { Probe } from './health/probe.ts';
import { ImageCache } from './images/image-cache.ts';
import { type InstanceContainer, toInstanceContainer } from './instances/container-labels.ts';
import { InstanceRecords } from './instances/instance-records.ts';
import { LogOffsets } from './logs/log-offsets.ts';
import { LogShipper } from './logs/log-shipper.ts';
import { type NodeFacts, nextWakeMs, planNode } from './plan/plan-node.ts';
import type { Step } from './plan/steps.ts';
import { observeInstances } from './report/observe-instances.ts';
import { Reporter } from './report/reporter.ts';
import { VolumeStore } from './volumes/volume-store.ts';

const PRUNE_INTERVAL_MS = 10 * 60_000;
/** A plan is made this often even without an event: whatever was overlooked is put right. */
const REPLAN_INTERVAL_MS = 10_000;
const CLOSE_TIMEOUT_MS = 3_000;

export interface AgentDeps {
  engine: Engine;
  controlPlane: ControlPlane;
  clock: Clock;
  log: Logger;
  probe: Probe;
  runBuild: BuildRunnerDeps['runBuild'];
  /** Diff ids of layers that are never pruned: those that builds start from. */
  keptLayers: ReadonlySet<string>;
  paths: AgentPaths;
}

interface AgentParts {
  desired: DesiredStore;
  records: InstanceRecords;
  images: ImageCache;
  volumes: VolumeStore;
  logs: LogShipper;
}

/**
 * Keeps a node as desired. Every event (a new desired state, an exit, a change of health, the end of a step, a timer)
 * leads to the same: take the facts, plan, run the steps, report.
 */
export class Agent {
  readonly #runner: StepRunner;
  readonly #health: HealthMonitor;
  readonly #builds: BuildRunner;
  readonly #reporter: Reporter;
  readonly #diskGuard: DiskGuard;
  readonly #stop = new AbortController();
  #planned = false;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> | undefined;
  #prunedMs: number;
  #pruneDue = false;

  private constructor(
    private readonly deps: AgentDeps,
    private readonly parts: AgentParts,
  ) {
    const { clock, log, controlPlane, probe } = deps;
    const replan = () => this.#replan();
    this.#prunedMs = clock.now();
    this.#health = new HealthMonitor({
      clock,
      log,
      probe,
      onChange: (id, health) => this.#healthChanged(id, health),
    });
    this.#builds = new BuildRunner({ ...deps, onSettled: replan });
    const executors = createExecutors({ ...deps, ...parts, builds: this.#builds });
    this.#runner = new StepRunner({
      executors,
      clock,
      onSettled: replan,
      onFailed: (step, error) => this.#stepFailed(step, error),
    });
    this.#diskGuard = new DiskGuard({
      ...deps,
      space: () => diskSpace(deps.paths.root),
      kill: (containerId, reason) =>
        executors['kill-instance'](
          { kind: 'kill-instance', key: containerId, containerId, reason },
          this.#stop.signal,
        ),
    });
    this.#reporter = new Reporter({ clock, log, controlPlane, observe: () => this.observe() });
  }

  /** Reads what earlier processes left: the desired state, records, offsets. */
  static async open(deps: AgentDeps): Promise<Agent> {
    const { engine, controlPlane, clock, log, paths } = deps;
    const desired = await DesiredStore.open(paths.desiredFile, log);
    const records = await InstanceRecords.open(paths.instances, log);
    const images = await ImageCache.open({ engine, clock, log, file: paths.imagesFile, controlPlane });
    const volumes = await VolumeStore.open(paths.volumes, desired.version, log);
    const offsets = new LogOffsets(paths.logOffsets);
    await offsets.open(new Set(engine.list().map((container) => container.spec.id)));
    const logs = new LogShipper({ controlPlane, offsets, clock, log });
    return new Agent(deps, { desired, records, images, volumes, logs });
  }

  /** Begins to work; resolves once the first sync has been attempted, with or without an answer. */
  async start(): Promise<void> {
    const { signal } = this.#stop;
    const { controlPlane, clock, log, engine } = this.deps;
    const off = engine.onExit(() => this.#replan());
    signal.addEventListener('abort', off, { once: true });
    this.#replan();
    const attempted = Promise.withResolvers<void>();
    const poll = pollDesired(
      {
        controlPlane,
        clock,
        log,
        version: () => this.parts.desired.version,
        onAnswer: (state) => this.#desiredAnswered(state),
        onFirstAttempt: attempted.resolve,
      },
      signal,
    );
    // The first report follows the first sync: it must not describe instances by an outdated desired state.
    const report = attempted.promise.then(() => this.#reporter.run(signal));
    this.#running = Promise.allSettled([poll, report, this.#diskGuard.run(signal)]);
    await attempted.promise;
  }

  /** Stops working. Instances keep running; builds end, and are started anew by the next agent. */
  async close(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#health.close();
    await Promise.all([this.#runner.close(CLOSE_TIMEOUT_MS), this.#builds.close(), this.parts.logs.close()]);
    await this.#running;
  }

  observe(): ObservedState {
    return {
      name: hostname(),
      version: VERSION,
      capacity: { memoryBytes: totalmem(), cpus: availableParallelism() },
      desiredVersion: this.parts.desired.version,
      instances: observeInstances({ ...this.#facts(), running: (id) => this.#runner.running(id) }),
    };
  }

  async #desiredAnswered(state: DesiredState | null): Promise<void> {
    const { desired, volumes } = this.parts;
    if (state) {
      await desired.replace(state);
      this.#pruneDue = true;
    } else {
      desired.confirm();
    }
    if (desired.state) await volumes.noteListed(desired.state);
    this.#replan();
  }

  #replan(): void {
    if (this.#planned || this.#stop.signal.aborted) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      if (!this.#stop.signal.aborted) this.#plan();
    });
  }

  #plan(): void {
    const facts = this.#facts();
    this.#health.watch(facts.containers.flatMap((one) => this.#healthTarget(one)));
    for (const { labels, container } of facts.containers) {
      const { createdAtMs, logFile } = container;
      const logged = { containerId: container.spec.id, instanceId: labels.instance, createdAtMs, logFile };
      this.parts.logs.follow(logged).catch((error: unknown) => {
        this.deps.log.warn({ err: error, container: logged.containerId }, 'cannot follow a log');
      });
    }
    const steps = planNode({ ...facts, health: this.#health.all });
    this.#runner.apply(steps);
    this.#reporter.poke();
    if (steps.length === 0 && facts.builds.size === 0) this.#pruneWhenDue(facts);
    this.#schedule(facts);
  }

  #facts(): NodeFacts {
    const { desired, records, images, volumes } = this.parts;
    return {
      now: this.deps.clock.now(),
      desired: desired.state,
      fresh: desired.fresh,
      containers: this.deps.engine.list().flatMap((container) => toInstanceContainer(container) ?? []),
      records: records.all,
      health: this.#health.all,
      readyImages: images.ready,
      builds: this.#builds.all,
      volumes: volumes.facts(),
    };
  }

  #schedule(facts: NodeFacts): void {
    clearTimeout(this.#timer);
    const next = [nextWakeMs(facts), this.#runner.nextRetryMs()].filter((time) => time !== null);
    const waitMs = Math.min(
      ...next.map((time) => Math.max(time - this.deps.clock.now(), 0) + 1),
      REPLAN_INTERVAL_MS,
    );
    this.#timer = setTimeout(() => this.#replan(), waitMs);
  }

  #healthTarget({ labels, container }: InstanceContainer): HealthTarget[] {
    if (container.status !== 'running' || container.startedAtMs === null) return [];
    const record = this.parts.records.get(labels.instance, labels.generation);
    const known = record.healthyAttempt === labels.attempt;
    const startedAtMs = container.startedAtMs;
    return [
      {
        containerId: container.spec.id,
        kind: labels.health,
        host: container.address,
        port: labels.port,
        startedAtMs,
        startTimeoutSeconds: labels.startTimeoutSeconds,
        lastKnown: !known
          ? { status: 'starting', sinceMs: startedAtMs }
          : {
              status: record.healthySinceMs === null ? 'unhealthy' : 'healthy',
              sinceMs: record.healthySinceMs ?? startedAtMs,
            },
      },
    ];
  }

  #healthChanged(containerId: string, { status, sinceMs, startFailure }: Health): void {
    this.#replan();
    const container = this.deps.engine.get(containerId);
    const labels = container && toInstanceContainer(container)?.labels;
    if (!labels || startFailure !== null) return;
    // The record of a newer generation is not the business of a container that is being replaced.
    if ((this.parts.records.all.get(labels.instance)?.generation ?? -1) > labels.generation) return;
    const healthy = status === 'healthy';
    const change = healthy
      ? { healthyAttempt: labels.attempt, healthySinceMs: sinceMs, message: null }
      : { healthySinceMs: null };
    this.deps.log.info(
      { instance: labels.instance, status, ms: sinceMs - (container.startedAtMs ?? sinceMs) },
      'health',
    );
    this.parts.records.update(labels.instance, labels.generation, change).catch((error: unknown) => {
      this.deps.log.warn({ err: error, instance: labels.instance }, 'cannot keep the health of an instance');
    });
  }

  #stepFailed(step: Step, error: unknown): void {
    const known = error instanceof PlatformError && error.code !== 'internal';
    const cause = known ? { reason: errorMessage(error) } : { err: error };
    this.deps.log.warn({ ...cause, step: step.kind, key: step.key }, 'a step failed; it is tried again');
  }

  #pruneWhenDue({ now, desired }: NodeFacts): void {
    if (!this.#pruneDue || !desired || now - this.#prunedMs < PRUNE_INTERVAL_MS) return;
    this.#pruneDue = false;
    this.#prunedMs = now;
    const digests = new Set(desired.instances.map((instance) => instance.image.digest));
    this.parts.images.prune(digests, this.deps.keptLayers).then(
      (layersRemoved) => this.deps.log.info({ layersRemoved }, 'pruned images'),
      (error: unknown) => this.deps.log.warn({ err: error }, 'cannot prune images'),
    );
  }
}
