import { existsSync } from 'node:fs';
import path from 'node:path';
import {
  type BaseImages,
  type BuildImageOptions,
  buildImage,
  cleanBuildLeftovers,
  ensureBases,
  importBase,
} from '#libs/build';
import type { Engine } from '#libs/engine';
import { PlatformError } from '#libs/errors';
import type { Clock, Exec } from '#libs/host';
import type { Logger } from '#libs/log';
import { RegistryClient } from '#libs/oci';
import type { AgentConfig } from '../config.ts';
import { BaseImageSource } from './base-image-source.ts';
import type { BuildOutput, RunBuildInput } from './build-runner.ts';

export interface BuilderDeps {
  config: AgentConfig;
  engine: Engine;
  exec: Exec;
  clock: Clock;
  log: Logger;
}

/** Runs builds of the desired state with `#libs/build`, the image going to the platform's own registry. */
export class Builder {
  readonly #bases: BaseImageSource<BaseImages>;
  /** Layers of the base images, known once they are there: they stay in the engine whatever is pruned. */
  readonly baseLayers = new Set<string>();
  readonly #stop = new AbortController();
  readonly #buildpacksDir = path.join(projectFolder(), 'buildpacks');

  constructor(private readonly deps: BuilderDeps) {
    const { config, engine, exec, log } = deps;
    this.#bases = new BaseImageSource({
      log,
      signal: this.#stop.signal,
      ensure: async (onProgress) => {
        const bases = await ensureBases({
          cacheDir: config.paths.bases,
          exec,
          log,
          onProgress,
          signal: this.#stop.signal,
        });
        // Into the engine now, so that the first build does not wait for it.
        for (const base of [bases.build, bases.run]) {
          for (const { diffId } of base.layers) this.baseLayers.add(diffId);
          await importBase(engine, base);
        }
        return bases;
      },
    });
  }

  /** Removes what builds of an earlier agent left, and begins to make the base images in the background. */
  async prepare(): Promise<void> {
    const { config, engine, exec } = this.deps;
    const left = engine.list().filter((container) => container.spec.profile === 'build');
    await Promise.all(left.map((container) => engine.remove(container.spec.id)));
    await cleanBuildLeftovers(config.paths.builds, exec);
    this.#bases.prepare();
  }

  readonly run = async ({ build, openSource, onLine, signal }: RunBuildInput): Promise<BuildOutput> => {
    const { config, engine, exec, clock } = this.deps;
    const { host, protocol } = new URL(config.controlPlaneUrl);
    const bases = await this.#bases.get(onLine, signal);
    // The time limit is the build's own: that the machine had no base images yet is not its fault.
    const timeout = AbortSignal.timeout(build.timeoutSeconds * 1000);
    const options: BuildImageOptions = {
      build: {
        id: build.id,
        app: { id: build.app.id, organizationId: build.organization.id },
        commit: build.commit,
        sourceDateEpoch: build.sourceDateEpoch,
        env: build.env,
        resources: build.resources,
        timeoutMs: build.timeoutSeconds * 1000,
      },
      source: await openSource(),
      engine,
      bases,
      registry: new RegistryClient({
        registry: host,
        auth: { token: config.nodeToken },
        insecure: protocol === 'http:',
        clock,
      }),
      repository: build.repository,
      cacheDir: path.join(config.paths.buildCache, build.app.id),
      workDir: config.paths.builds,
      buildpacksDir: this.#buildpacksDir,
      exec,
      clock,
      onLine,
      signal: AbortSignal.any([signal, timeout]),
      networkEnv: config.buildNetworkEnv,
    };
    try {
      return await buildImage(options);
    } catch (error) {
      if (!timeout.aborted || signal.aborted) throw error;
      const message = `the build did not end within ${build.timeoutSeconds} s`;
      throw new PlatformError('build_failed', message, { cause: error });
    }
  };

  /** Ends the making of base images; the next agent begins anew. */
  close(): void {
    this.#stop.abort();
  }
}

/** The checkout that this program is part of, be it run from source or from `dist`. */
function projectFolder(): string {
  for (let folder = import.meta.dirname; ; folder = path.dirname(folder)) {
    if (existsSync(path.join(folder, 'buildpacks')) && existsSync(path.join(folder, 'package.json')))
      return folder;
    if (folder === path.dirname(folder)) {
      throw new PlatformError('internal', `no folder with buildpacks above ${import.meta.dirname}`);
    }
  }
}
