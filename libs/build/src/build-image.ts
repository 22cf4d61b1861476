import { chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { stringify } from 'smol-toml';
import type { Resources, ServiceDefinition } from '#libs/contract';
import type { Engine } from '#libs/engine';
import { isSystemError, PlatformError, withCleanupErrors } from '#libs/errors';
import { type Clock, type Exec, systemClock } from '#libs/host';
import type { BaseImages } from './bases/base-image.ts';
import { importBase } from './bases/import-base.ts';
import type { BuildpackToml } from './buildpack/buildpack-files.ts';
import { type Buildpacks, readBuildpacks } from './buildpack/read-buildpacks.ts';
import { type BuiltLayer, readLayers, readServices } from './buildpack/read-layers.ts';
import { type CachedLayer, type ExportedLayer, LayerCache } from './cache/layer-cache.ts';
import { exportImage } from './export/export-image.ts';
import type { ImageTarget } from './export/export-layers.ts';
import { buildEnvironment, DEFAULT_CA_BUNDLE } from './sandbox/build-environment.ts';
import { cleanLine, secretValues } from './sandbox/clean-line.ts';
import { runLifecycle } from './sandbox/run-lifecycle.ts';
import { DEFAULT_DISK_LIMITS, type DiskLimits } from './sandbox/watch-disk.ts';
import { DEFAULT_SOURCE_LIMITS, receiveSource, type SourceLimits } from './source/receive-source.ts';
import {
  APP_UID,
  createWorkFolder,
  fillWorkFolder,
  makeFolder,
  removeTree,
  type WorkFolder,
} from './work-folder.ts';

/** Lines of output passed on from one build; the rest is left out, with a line that says so. */
const MAX_LINES = 50_000;

export interface BuildRequest {
  /** 1–40 characters of [0-9a-z_]: names the container and the work folder. */
  id: string;
  app: { id: string; organizationId: string };
  commit: string;
  /** Seconds since the epoch: time stamps in the app's layer and of the image. */
  sourceDateEpoch: number;
  /** The app's config: seen by build steps, never in layers. */
  env: Record<string, string>;
  resources: Resources;
  timeoutMs: number;
}

export interface BuildImageOptions extends ImageTarget {
  build: BuildRequest;
  /** Tar of the commit's files. */
  source: Readable;
  engine: Engine;
  bases: BaseImages;
  /** Folder for this app's cached layers; on the file system of `workDir`. */
  cacheDir: string;
  workDir: string;
  buildpacksDir: string;
  exec: Exec;
  clock?: Clock;
  /** A line of the build's log, safe to show. */
  onLine: (line: string) => void;
  signal?: AbortSignal;
  /** The host's CA bundle, trusted by build steps; the system's unless told. */
  caBundle?: string;
  /** Variables of the host that build steps need to reach the network: proxies, registry mirrors. */
  networkEnv?: Record<string, string>;
  sourceLimits?: SourceLimits;
  diskLimits?: DiskLimits;
}

export interface BuiltImage {
  /** Digest of the manifest in the registry. */
  digest: string;
  services: ServiceDefinition[];
  /** Milliseconds by stage. */
  timings: Record<string, number>;
}

/**
 * Source → image in the registry, through the buildpacks, in a sandbox. Leaves nothing but the app's cache and the
 * image, whatever happens. Not for two builds of one app at once.
 *
 * @throws `build_failed` (unrecognised source, failing step, limits), `invalid_input` or `too_large` (the source),
 * `unavailable` (registry), or the signal's reason
 */
export async function buildImage(options: BuildImageOptions): Promise<BuiltImage> {
  const { build, engine, exec, workDir, signal } = options;
  signal?.throwIfAborted();
  await engine.remove(build.id); // of an agent that was killed while it built this
  const cleanUp = async () => {
    const results = await Promise.allSettled([engine.remove(build.id)]);
    results.push(...(await Promise.allSettled([removeTree(exec, path.join(workDir, build.id))])));
    return results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  };
  let image: BuiltImage;
  try {
    image = await new Build(options).run();
  } catch (error) {
    options.source.destroy(); // nobody reads it any more
    throw withCleanupErrors(error, await cleanUp());
  }
  const started = performance.now();
  const failed = await cleanUp();
  if (failed.length > 0) throw new AggregateError(failed, `build ${build.id} could not be cleaned up`);
  image.timings.cleanup = Math.round(performance.now() - started);
  return image;
}

/** One build on its way through the stages. */
class Build {
  readonly #options: BuildImageOptions;
  readonly #timings: Record<string, number> = {};
  readonly #say: (text: string) => void;

  constructor(options: BuildImageOptions) {
    this.#options = options;
    this.#say = lineSink(options.onLine, secretValues(options.build.env));
  }

  async run(): Promise<BuiltImage> {
    const { build, engine, exec, bases, clock = systemClock } = this.#options;
    const total = performance.now();
    const { work, buildpacks, rootNames, firstId } = await this.#stage('prepare', () => this.#prepare());
    const cache = new LayerCache(this.#options.cacheDir, firstId, exec);
    const cached = await this.#stage('restore', () => this.#restore(cache, buildpacks, work, firstId));
    const appFolders = await this.#mountedFolders(buildpacks, rootNames, work, firstId);
    const exports = new Map<string, ExportedLayer>();
    const keep = async () => {
      const started = performance.now();
      await this.#keep(cache, cached, buildpacks, work, exports);
      this.#timings.keep = Math.round(performance.now() - started);
    };
    let image: Omit<BuiltImage, 'timings'>;
    try {
      const result = await this.#stage('sandbox', () =>
        runLifecycle({
          build: { ...build, organizationId: build.app.organizationId, appId: build.app.id },
          base: bases.build,
          order: buildpacks.order,
          work,
          env: buildEnvironment(this.#options),
          appFolders,
          engine,
          clock,
          diskLimits: this.#options.diskLimits ?? DEFAULT_DISK_LIMITS,
          onLine: this.#say,
          signal: this.#options.signal,
        }),
      );
      // What is left of the container goes while the image is exported; `cleanUp` waits for it, and tells if it failed.
      engine.remove(build.id).catch(() => {});
      for (const [stage, ms] of Object.entries(result.timings)) this.#timings[`sandbox.${stage}`] = ms;
      const services = await readServices(work.layers, result.group);
      const digest = await this.#stage('export', () =>
        this.#export(work, buildpacks, result.group, cached, services, exports),
      );
      image = { digest, services };
    } catch (error) {
      const failed = await keep().then(
        () => [],
        (reason: unknown) => [reason],
      );
      throw withCleanupErrors(error, failed);
    }
    await keep();
    this.#timings.total = Math.round(performance.now() - total);
    return { ...image, timings: this.#timings };
  }

  async #stage<T>(name: string, work: () => Promise<T>): Promise<T> {
    this.#options.signal?.throwIfAborted();
    const started = performance.now();
    try {
      return await work();
    } finally {
      this.#timings[name] = Math.round(performance.now() - started);
    }
  }

  /** Work folder with the judged source, and the base image in the engine. */
  async #prepare() {
    const { build, engine, exec, bases, workDir, source, signal } = this.#options;
    const [buildpacks, firstId, caBundle] = await Promise.all([
      readBuildpacks(this.#options.buildpacksDir),
      engine.idRange(build.app.id),
      readIfThere(this.#options.caBundle ?? DEFAULT_CA_BUNDLE),
    ]);
    const work = await createWorkFolder({
      workDir,
      buildId: build.id,
      firstId,
      buildpackIds: [...buildpacks.byId.keys()],
      exec,
    });
    const input = path.join(work.cnb, 'input', 'source.tar');
    const [{ rootNames }] = await Promise.all([
      fillWorkFolder(work, { firstId, files: buildpacks.files, caBundle, env: build.env }).then(() =>
        receiveSource(source, input, this.#options.sourceLimits ?? DEFAULT_SOURCE_LIMITS, signal),
      ),
      importBase(engine, bases.build),
      importBase(engine, bases.run),
    ]);
    await chown(input, firstId + APP_UID, firstId + APP_UID);
    return { work, buildpacks, rootNames, firstId };
  }

  /** Moves cached layers to where buildpacks look for them, each with its metadata. */
  async #restore(
    cache: LayerCache,
    buildpacks: Buildpacks,
    work: WorkFolder,
    firstId: number,
  ): Promise<CachedLayer[]> {
    const cached = await cache.take(work.layers, new Set(buildpacks.byId.keys()));
    await Promise.all(
      cached.map(async ({ buildpack, name, metadata }) => {
        const file = path.join(work.layers, buildpack, `${name}.toml`);
        await writeFile(file, stringify({ metadata }), { mode: 0o644, flag: 'wx' });
        await chown(file, firstId + APP_UID, firstId + APP_UID);
      }),
    );
    return cached;
  }

  /** Layers that the build sees as folders of the app, and the folders that they are mounted over. */
  async #mountedFolders(
    buildpacks: Buildpacks,
    rootNames: readonly string[],
    work: WorkFolder,
    firstId: number,
  ) {
    const folders: { source: string; path: string }[] = [];
    const user = firstId + APP_UID;
    for (const [id, { metadata }] of buildpacks.byId) {
      for (const folder of metadata['app-folders'].filter(({ when }) => rootNames.includes(when))) {
        const source = path.join(work.layers, id, folder['mounted-layer']);
        await mkdir(source, { recursive: true });
        await chown(source, user, user);
        await makeFolder(path.join(work.workspace, folder.path), user, 0o755);
        folders.push({ source, path: folder.path });
        if (rootNames.includes(folder.path)) {
          this.#say(
            `       Warning: ${folder.path} is committed; it is left out, and made anew from the lockfile.`,
          );
        }
      }
    }
    return folders;
  }

  async #export(
    work: WorkFolder,
    buildpacks: Buildpacks,
    group: readonly string[],
    cached: readonly CachedLayer[],
    services: ServiceDefinition[],
    exports: Map<string, ExportedLayer>,
  ): Promise<string> {
    const { build, engine, exec, registry, repository, bases, signal } = this.#options;
    this.#say('-----> Exporting the image');
    const layers: BuiltLayer[] = [];
    for (const id of group) layers.push(...(await readLayers(work.layers, id)));
    const members = group
      .map((id) => buildpacks.byId.get(id))
      .filter((member): member is BuildpackToml => member !== undefined);
    const image = await exportImage({
      work,
      cached,
      target: { registry, repository },
      engine,
      organizationId: build.app.organizationId,
      exec,
      runBase: bases.run,
      buildBase: bases.build,
      group: members,
      layers,
      services,
      commit: build.commit,
      sourceDateEpoch: build.sourceDateEpoch,
      signal,
    });
    for (const [name, layer] of image.launchLayers) exports.set(name, layer);
    this.#say(`       ${image.launchLayers.size + 1} layers on the base, ${image.reused} of them unchanged`);
    this.#say(`       ${image.digest}`);
    return image.digest;
  }

  /**
   * Keeps every layer that says `cache = true` of itself: after a failure too, since a buildpack writes a layer's file
   * only when the layer is whole. What the next build could not read is forgotten.
   */
  async #keep(
    cache: LayerCache,
    cached: readonly CachedLayer[],
    buildpacks: Buildpacks,
    work: WorkFolder,
    exports: Map<string, ExportedLayer>,
  ) {
    const kept: CachedLayer[] = [];
    for (const id of buildpacks.byId.keys()) {
      const layers = await readLayers(work.layers, id).catch(() => []);
      for (const { name, types, metadata } of layers) {
        const before = cached.find((layer) => layer.buildpack === id && layer.name === name);
        const untouched = before !== undefined && !types.cache && !types.launch && !types.build;
        if (!types.cache && !untouched) continue;
        const exported = exports.get(`${id}/${name}`) ?? (untouched ? before.exported : null);
        kept.push({ buildpack: id, name, metadata, exported });
      }
    }
    await cache.keep(work.layers, kept);
  }
}

/** Passes on cleaned lines, and at most `MAX_LINES` of them. */
function lineSink(onLine: (line: string) => void, secrets: readonly string[]): (text: string) => void {
  let count = 0;
  return (text) => {
    count += 1;
    if (count <= MAX_LINES) onLine(cleanLine(text, secrets));
    else if (count === MAX_LINES + 1)
      onLine(`       The log has more than ${MAX_LINES} lines; the rest is left out.`);
  };
}

async function readIfThere(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw new PlatformError('internal', `cannot read the CA bundle ${file}`, { cause: error });
  }
}
