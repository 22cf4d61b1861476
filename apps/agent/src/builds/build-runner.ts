import type { Readable } from 'node:stream';
import { type BuildResult, type DesiredBuild, nodeEndpoints } from '#libs/contract';
import { type ErrorCode, errorMessage, PlatformError } from '#libs/errors';
import type { Clock } from '#libs/host';
import type { Logger } from '#libs/log';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import type { BuildFacts } from '../plan/plan-node.ts';
import { BuildLog } from './build-log.ts';

const MAX_ERROR = 4_000;
/** The result itself is at fault. Any other answer that is final means that nobody waits for it any more. */
const REFUSED: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['invalid_input', 'too_large']);

export interface BuildOutput {
  digest: string;
  services: Extract<BuildResult, { status: 'succeeded' }>['services'];
  timings: Record<string, number>;
}

export interface RunBuildInput {
  build: DesiredBuild;
  /** Opens the tar stream of the source; whoever opens it reads it without delay. */
  openSource: () => Promise<Readable>;
  onLine: (line: string) => void;
  signal: AbortSignal;
}

export interface BuildRunnerDeps {
  controlPlane: Pick<ControlPlane, 'callUntilAnswered' | 'openBuildSource'>;
  runBuild: (input: RunBuildInput) => Promise<BuildOutput>;
  clock: Clock;
  log: Logger;
  /** A build has ended: another may start. */
  onSettled: () => void;
}

interface Job {
  build: DesiredBuild;
  status: BuildFacts['status'];
  abort: AbortController;
  done: Promise<void>;
}

/**
 * The builds of a node. A build belongs to the desired state: it runs while it is listed there, is cancelled when it
 * no longer is, and after a crash of the agent it is simply started anew.
 */
export class BuildRunner {
  readonly #jobs = new Map<string, Job>();

  constructor(private readonly deps: BuildRunnerDeps) {}

  get all(): ReadonlyMap<string, BuildFacts> {
    return new Map([...this.#jobs].map(([id, { build, status }]) => [id, { appId: build.app.id, status }]));
  }

  /** Starts a build in the background; a no-op when it is known. */
  start(build: DesiredBuild): void {
    if (this.#jobs.has(build.id)) return;
    const abort = new AbortController();
    const done = this.#run(build, abort.signal)
      .catch((error: unknown) => {
        if (!abort.signal.aborted)
          this.deps.log.error({ err: error, build: build.id }, 'a build could not be reported');
      })
      .finally(() => {
        const job = this.#jobs.get(build.id);
        if (job?.abort === abort) job.status = 'finished';
        this.deps.onSettled();
      });
    this.#jobs.set(build.id, { build, status: 'running', abort, done });
  }

  /** Ends a build and forgets it; returns once nothing of it runs. */
  async cancel(buildId: string): Promise<void> {
    const job = this.#jobs.get(buildId);
    if (!job) return;
    job.abort.abort(new PlatformError('cancelled', `build ${buildId} was cancelled`));
    await job.done;
    this.#jobs.delete(buildId);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#jobs.keys()].map((id) => this.cancel(id)));
  }

  async #run(build: DesiredBuild, signal: AbortSignal): Promise<void> {
    const { log } = this.deps;
    const buildLog = new BuildLog(build.id, this.deps, signal);
    log.info({ build: build.id, app: build.app.slug }, 'build started');
    const result = await this.#build(build, (line) => buildLog.append(line), signal);
    signal.throwIfAborted();
    await buildLog.flush();
    log.info({ build: build.id, app: build.app.slug, status: result.status }, 'build ended');
    await this.#report(build, result, signal);
  }

  /** A build whose result is refused has failed: left unsaid, it would hold its place until it times out. */
  async #report(build: DesiredBuild, body: BuildResult, signal: AbortSignal): Promise<void> {
    const params = { id: build.id };
    const { controlPlane, log } = this.deps;
    try {
      await controlPlane.callUntilAnswered(nodeEndpoints.buildResult, { params, body }, signal);
    } catch (error) {
      const isRefused = error instanceof PlatformError && REFUSED.has(error.code);
      if (!isRefused || signal.aborted || body.status === 'failed') throw error;
      log.warn({ build: build.id, reason: errorMessage(error) }, 'the result of a build was refused');
      const why = `the platform refused what was built: ${errorMessage(error)}`.slice(0, MAX_ERROR);
      await this.#report(build, { status: 'failed', error: why }, signal);
    }
  }

  async #build(
    build: DesiredBuild,
    onLine: (line: string) => void,
    signal: AbortSignal,
  ): Promise<BuildResult> {
    let source: Readable | undefined;
    const openSource = async () => {
      source = await this.deps.controlPlane.openBuildSource(build.id, signal);
      // Whoever stops reading early (a limit, a bad archive) must not turn the rest of the stream into a crash.
      source.on('error', () => {});
      return source;
    };
    try {
      return { status: 'succeeded', ...(await this.deps.runBuild({ build, openSource, onLine, signal })) };
    } catch (error) {
      return { status: 'failed', error: describe(error).slice(0, MAX_ERROR) };
    } finally {
      source?.destroy();
    }
  }
}

function describe(error: unknown): string {
  const hint = error instanceof PlatformError ? error.hint : undefined;
  return hint ? `${errorMessage(error)} (${hint})` : errorMessage(error);
}
