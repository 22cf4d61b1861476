import type { Resources } from '#libs/contract';
import type { Container, ContainerExit, ContainerMount, Engine } from '#libs/engine';
import { PlatformError } from '#libs/errors';
import type { Clock } from '#libs/host';
import type { BaseImage } from '../bases/base-image.ts';
import type { OrderToml } from '../buildpack/buildpack-files.ts';
import type { WorkFolder } from '../work-folder.ts';
import { LogFollower } from './follow-log.ts';
import { type Report, readReport } from './read-report.ts';
import { type DiskLimits, watchDisk } from './watch-disk.ts';

const LOG_MAX_BYTES = 64 << 20;

/** Exit codes of buildpacks/lifecycle.sh. */
const NOTHING_DETECTED = 20;

export interface RunLifecycleOptions {
  build: { id: string; organizationId: string; appId: string; resources: Resources; timeoutMs: number };
  base: BaseImage;
  order: OrderToml['order'];
  work: WorkFolder;
  env: Record<string, string>;
  /** Folders of the app that are layers: host folder and path below /workspace. */
  appFolders: readonly { source: string; path: string }[];
  engine: Engine;
  clock: Clock;
  diskLimits: DiskLimits;
  onLine: (text: string) => void;
  signal?: AbortSignal;
}

export interface LifecycleResult {
  /** Buildpacks that took part, in order. */
  group: string[];
  /** Milliseconds by stage, as the sandbox told: `extract`, `detect`, `build`. */
  timings: Record<string, number>;
}

/**
 * Unpacks, detects and builds in one sandbox container, which is gone from the process table when this returns or
 * throws (its remains are removed by `engine.remove`). Throws `build_failed`, `timeout`, or the signal's reason.
 */
export async function runLifecycle(options: RunLifecycleOptions): Promise<LifecycleResult> {
  const { build, engine, signal } = options;
  signal?.throwIfAborted();
  const container = await engine.create(containerSpec(options));
  const follower = new LogFollower(container.logFile, options.onLine, options.clock);
  let exit: ContainerExit;
  try {
    await engine.start(build.id);
    exit = await awaitExit(container, options);
  } catch (error) {
    // Nothing may write to the folders any more once this function is left.
    await engine.stop(build.id, 0).catch(() => {});
    throw error;
  } finally {
    await follower.finish();
  }
  const report = await readReport(options.work.layers);
  if (exit.code !== 0) throw failure(exit, report, options);
  if (report.group.length === 0)
    throw new PlatformError('build_failed', 'the build ended without saying which buildpacks it used');
  return { group: report.group, timings: report.timings };
}

function containerSpec(options: RunLifecycleOptions): Parameters<Engine['create']>[0] {
  const { build, base, work } = options;
  const mount = (source: string, target: string, readonly = false): ContainerMount => ({
    source,
    target,
    readonly,
    ownership: 'owned',
  });
  return {
    id: build.id,
    organizationId: build.organizationId,
    ownerId: build.appId,
    profile: 'build',
    labels: { 'gantry.build': build.id, 'gantry.app': build.appId },
    layers: base.layers.map((layer) => layer.diffId),
    argv: ['/cnb/buildpacks/lifecycle.sh', ...options.order.map(({ group }) => groupArgument(group))],
    env: { ...options.env, GANTRY_APP_FOLDERS: options.appFolders.map((folder) => folder.path).join(':') },
    workingDir: '/workspace',
    user: '1000:1000',
    hostname: 'build',
    resources: build.resources,
    mounts: [
      mount(work.workspace, '/workspace'),
      mount(work.layers, '/layers'),
      mount(work.platform, '/platform', true),
      mount(work.cnb, '/cnb', true),
      ...options.appFolders.map((folder) => mount(folder.source, `/workspace/${folder.path}`)),
    ],
    network: 'bridge',
    logMaxBytes: LOG_MAX_BYTES,
  };
}

function groupArgument(group: OrderToml['order'][number]['group']): string {
  return group.map(({ id, optional }) => (optional ? `${id}?` : id)).join(' ');
}

/** The first of: exit, time limit, disk limit, cancellation. */
async function awaitExit(container: Container, options: RunLifecycleOptions): Promise<ContainerExit> {
  const { build, engine, clock, signal, work, diskLimits } = options;
  const stop = new AbortController();
  const cancelled = new Promise<never>((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true, signal: stop.signal });
  });
  const tooLate = clock.sleep(build.timeoutMs, stop.signal).then(() => {
    throw new PlatformError(
      'build_failed',
      `the build did not end within ${Math.round(build.timeoutMs / 1000)} s and was stopped`,
      {
        hint: 'Does a script wait for input, or start a server?',
      },
    );
  });
  const diskFull = watchDisk(work.root, diskLimits, clock, stop.signal).then(
    () => new Promise<never>(() => {}),
  );
  for (const promise of [cancelled, tooLate, diskFull]) promise.catch(() => {});
  try {
    return await Promise.race([engine.wait(container.spec.id), cancelled, tooLate, diskFull]);
  } finally {
    stop.abort();
  }
}

function failure(exit: ContainerExit, report: Report, options: RunLifecycleOptions): PlatformError {
  const megabytes = Math.round(options.build.resources.memoryBytes / 2 ** 20);
  if (exit.code === NOTHING_DETECTED) return unrecognised();
  const { failed } = report;
  const where = failed?.buildpack
    ? `${failed.stage} step of the buildpack ${failed.buildpack}`
    : (failed?.stage ?? 'build');
  const code = failed?.code ?? exit.code;
  if (exit.oomKilled) {
    return new PlatformError(
      'build_failed',
      `the ${where} ran out of memory (limit ${megabytes} MiB; exit code ${code})`,
      {
        hint: 'Make the build need less, or raise the memory limit of builds.',
        details: { exitCode: code },
      },
    );
  }
  return new PlatformError('build_failed', `the ${where} failed with exit code ${code}`, {
    hint: 'The lines above say why.',
    details: { exitCode: code, ...failed },
  });
}

/** The files that the buildpacks of order.toml look for. */
const LOOKED_FOR = [
  'package.json (Node.js)',
  'index.html, public/index.html or Staticfile (static site)',
  'Procfile (any other program)',
];

function unrecognised(): PlatformError {
  return new PlatformError(
    'build_failed',
    `no buildpack recognised the source; looked for: ${LOOKED_FOR.join('; ')}`,
    {
      hint: 'These files belong at the root of the repository. Are they committed?',
    },
  );
}
