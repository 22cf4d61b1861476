import type { Clock } from '#libs/host';
import type { Step, StepKind } from '../plan/steps.ts';

/** How many steps of a kind run at once: work is bounded, waiting for a grace period hardly costs anything. */
const MAX_RUNNING: Record<StepKind, number> = {
  'pull-image': 4,
  'create-instance': 4,
  'start-instance': 8,
  'kill-instance': 32,
  'settle-exit': 64,
  'stop-instance': 256,
  'remove-instance': 8,
  'forget-instance': 8,
  'start-build': 4,
  'cancel-build': 8,
  'remove-volume': 1,
};

/**
 * Of these so many for one organization: what hangs for it (a registry that trickles, an image that does not start) must
 * not keep others waiting.
 */
const MAX_PER_ORGANIZATION: Partial<Record<StepKind, number>> = {
  'pull-image': 2,
  'create-instance': 2,
  'start-instance': 4,
  'start-build': 3,
};

/** Steps that may take long for nothing: aborted as soon as a plan no longer holds them. */
const INTERRUPTIBLE: ReadonlySet<StepKind> = new Set<StepKind>(['pull-image']);

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 60_000;

/** One function for each kind of step; a missing one does not compile. */
export type Executors = { [S in StepKind]: (step: Step<S>, signal: AbortSignal) => Promise<void> };

export interface StepRunnerDeps {
  executors: Executors;
  clock: Clock;
  /** Called after each step, done or failed: time for a new plan. */
  onSettled: () => void;
  onFailed: (step: Step, error: unknown) => void;
}

/**
 * Runs the steps of the newest plan: at most one per key, bounded per kind, different keys in parallel. A step that
 * finds no room or whose key is busy is skipped: the plan made after the next step has it again. A failing key is
 * left alone for a while, longer each time.
 */
export class StepRunner {
  readonly #running = new Map<string, { step: Step; abort: AbortController; done: Promise<void> }>();
  readonly #retries = new Map<string, { count: number; notBeforeMs: number }>();
  #closed = false;

  constructor(private readonly deps: StepRunnerDeps) {}

  apply(steps: readonly Step[]): void {
    if (this.#closed) return;
    const planned = new Map(steps.map((step) => [step.key, step]));
    for (const [key, { step, abort }] of this.#running) {
      if (INTERRUPTIBLE.has(step.kind) && planned.get(key)?.kind !== step.kind) abort.abort();
    }
    for (const key of this.#retries.keys())
      if (!planned.has(key) && !this.#running.has(key)) this.#retries.delete(key);
    for (const step of steps) if (this.#mayStart(step)) this.#start(step);
  }

  running(key: string): StepKind | undefined {
    return this.#running.get(key)?.step.kind;
  }

  /** When the nearest failed key may be tried again, or null. */
  nextRetryMs(): number | null {
    const now = this.deps.clock.now();
    const times = [...this.#retries.values()].map((retry) => retry.notBeforeMs).filter((time) => time > now);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Starts nothing more, aborts what can be, and waits for the rest at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    for (const { abort } of this.#running.values()) abort.abort();
    const all = Promise.allSettled([...this.#running.values()].map((one) => one.done));
    const timeout = new AbortController();
    await Promise.race([all, this.deps.clock.sleep(timeoutMs, timeout.signal).catch(() => {})]);
    timeout.abort();
  }

  #mayStart(step: Step): boolean {
    if (this.#running.has(step.key)) return false;
    if ((this.#retries.get(step.key)?.notBeforeMs ?? 0) > this.deps.clock.now()) return false;
    const same = [...this.#running.values()].filter((running) => running.step.kind === step.kind);
    if (same.length >= MAX_RUNNING[step.kind]) return false;
    const organization = organizationOf(step);
    if (organization === undefined) return true;
    const ofTenant = same.filter((running) => organizationOf(running.step) === organization).length;
    return ofTenant < (MAX_PER_ORGANIZATION[step.kind] ?? Number.POSITIVE_INFINITY);
  }

  #start(step: Step): void {
    const abort = new AbortController();
    const done = this.#run(step, abort.signal);
    this.#running.set(step.key, { step, abort, done });
  }

  async #run(step: Step, signal: AbortSignal): Promise<void> {
    // The map must hold the step before it can end.
    await Promise.resolve();
    try {
      await dispatch(this.deps.executors, step, signal);
      this.#retries.delete(step.key);
    } catch (error) {
      if (!signal.aborted) this.#failed(step, error);
    } finally {
      this.#running.delete(step.key);
      if (!this.#closed) this.deps.onSettled();
    }
  }

  #failed(step: Step, error: unknown): void {
    const count = (this.#retries.get(step.key)?.count ?? 0) + 1;
    const delay = Math.min(FIRST_RETRY_MS * 2 ** (count - 1), MAX_RETRY_MS);
    this.#retries.set(step.key, { count, notBeforeMs: this.deps.clock.now() + delay });
    this.deps.onFailed(step, error);
  }
}

/** Whose step it is, where the step says. */
function organizationOf(step: Step): string | undefined {
  if ('instance' in step) return step.instance.organization.id;
  return 'build' in step ? step.build.organization.id : undefined;
}

/** TypeScript cannot see that `executors[step.kind]` fits `step`; the mapped type of Executors guarantees it. */
function dispatch<K extends StepKind>(
  executors: Executors,
  step: Step<K>,
  signal: AbortSignal,
): Promise<void> {
  const execute = executors[step.kind] as (step: Step<K>, signal: AbortSignal) => Promise<void>;
  return execute(step, signal);
}
