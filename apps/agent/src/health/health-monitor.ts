import type { Clock } from '#libs/host';
import type { Logger } from '#libs/log';
import type { Health, HealthStatus } from './health.ts';
import type { Probe } from './probe.ts';

const MIN_RETRY_MS = 20;
const MAX_RETRY_MS = 250;
/** A starting instance is probed again after a tenth of its age: found listening at most so much too late. */
const RETRY_SHARE = 0.1;
const PROBE_TIMEOUT_MS = 1_000;
export const CHECK_INTERVAL_MS = 5_000;
/** Failed checks in a row that make a healthy instance unhealthy. */
export const FAILURES_UNTIL_UNHEALTHY = 3;
/** Without a port to check, a process that has run this long is taken for healthy. */
export const HEALTHY_WITHOUT_CHECK_MS = 1_000;
/** A process that is found running is given this long to answer, whatever its start time-out was. */
const ADOPTION_GRACE_MS = 5_000;

/** A running container to watch. */
export interface HealthTarget {
  containerId: string;
  kind: 'tcp' | 'none';
  host: string | null;
  port: number;
  startedAtMs: number;
  startTimeoutSeconds: number;
  /** What was last known of it: an agent that starts again goes on from there, so that nothing flickers. */
  lastKnown: { status: HealthStatus; sinceMs: number };
}

export interface HealthMonitorDeps {
  clock: Clock;
  probe: Probe;
  log: Logger;
  onChange: (containerId: string, health: Health) => void;
}

/** Watches the health of the running containers of a node, each in a loop of its own. */
export class HealthMonitor {
  readonly #watched = new Map<string, { health: Health; abort: AbortController }>();

  constructor(private readonly deps: HealthMonitorDeps) {}

  /** What is known, by container id. */
  get all(): ReadonlyMap<string, Health> {
    return new Map([...this.#watched].map(([id, { health }]) => [id, health]));
  }

  /** Watches exactly these containers from now on. */
  watch(targets: readonly HealthTarget[]): void {
    const wanted = new Set(targets.map((target) => target.containerId));
    for (const [id, { abort }] of this.#watched) {
      if (wanted.has(id)) continue;
      abort.abort();
      this.#watched.delete(id);
    }
    for (const target of targets) if (!this.#watched.has(target.containerId)) this.#begin(target);
  }

  close(): void {
    this.watch([]);
  }

  #begin(target: HealthTarget): void {
    const abort = new AbortController();
    const health: Health = {
      ...target.lastKnown,
      startFailure: null,
    };
    this.#watched.set(target.containerId, { health, abort });
    this.#run(target, abort.signal).catch((error: unknown) => {
      if (!abort.signal.aborted) this.deps.log.error({ err: error, ...target }, 'a health check ended');
    });
  }

  async #run(target: HealthTarget, signal: AbortSignal): Promise<void> {
    if (target.kind === 'none') return await this.#runWithoutCheck(target, signal);
    const started = target.lastKnown.status !== 'starting';
    if (!started && !(await this.#awaitStart(target, signal))) return;
    let failures = 0;
    for (let first = started; !signal.aborted; first = false) {
      if (!first) await this.deps.clock.sleep(CHECK_INTERVAL_MS, signal);
      failures = (await this.#accepts(target)) ? 0 : failures + 1;
      if (failures === 0) this.#set(target, 'healthy', signal);
      if (failures >= FAILURES_UNTIL_UNHEALTHY) this.#set(target, 'unhealthy', signal);
    }
  }

  async #runWithoutCheck(target: HealthTarget, signal: AbortSignal): Promise<void> {
    const waitMs = target.startedAtMs + HEALTHY_WITHOUT_CHECK_MS - this.deps.clock.now();
    if (waitMs > 0) await this.deps.clock.sleep(waitMs, signal);
    this.#set(target, 'healthy', signal);
  }

  /** True once it accepts connections; false when it did not in time, which the planner then acts on. */
  async #awaitStart(target: HealthTarget, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.deps;
    const timeoutMs = target.startTimeoutSeconds * 1000;
    const deadlineMs = Math.max(
      target.startedAtMs + timeoutMs,
      clock.now() + Math.min(ADOPTION_GRACE_MS, timeoutMs),
    );
    while (!signal.aborted) {
      if (await this.#accepts(target)) {
        this.#set(target, 'healthy', signal);
        return true;
      }
      const leftMs = deadlineMs - clock.now();
      if (leftMs <= 0) break;
      await clock.sleep(Math.min(retryDelayMs(clock.now() - target.startedAtMs), leftMs), signal);
    }
    const startFailure = `did not listen on $PORT (${target.port}) within ${target.startTimeoutSeconds} s`;
    this.#set(target, 'unhealthy', signal, startFailure);
    return false;
  }

  async #accepts({ host, port }: HealthTarget): Promise<boolean> {
    return host !== null && (await this.deps.probe({ host, port }, PROBE_TIMEOUT_MS));
  }

  #set(
    target: HealthTarget,
    status: HealthStatus,
    signal: AbortSignal,
    startFailure: string | null = null,
  ): void {
    const watched = this.#watched.get(target.containerId);
    if (signal.aborted || !watched || (watched.health.status === status && startFailure === null)) return;
    watched.health = { status, sinceMs: this.deps.clock.now(), startFailure };
    this.deps.onChange(target.containerId, watched.health);
  }
}

function retryDelayMs(ageMs: number): number {
  return Math.round(Math.min(Math.max(ageMs * RETRY_SHARE, MIN_RETRY_MS), MAX_RETRY_MS));
}
