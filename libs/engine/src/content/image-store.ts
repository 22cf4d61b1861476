import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import { readFileIfExists, writeFileDurably } from '#libs/host';
import {
  assertDigest,
  digestHex,
  hostArchitecture,
  type ImageConfigFile,
  parseReference,
  type RegistryAuth,
  RegistryClient,
} from '#libs/oci';
import type { Image, ImageConfig, PullOptions } from '../types.ts';
import type { LayerStore } from './layer-store.ts';

const LAYERS_AT_ONCE = 3;

const ImageFile = z.object({
  digest: z.string(),
  layers: z.array(z.string()),
  config: z.object({
    user: z.string(),
    env: z.array(z.string()),
    entrypoint: z.array(z.string()),
    cmd: z.array(z.string()),
    workingDir: z.string(),
    labels: z.record(z.string(), z.string()),
    stopSignal: z.string().optional(),
  }),
});

function runConfig({ config }: ImageConfigFile): ImageConfig {
  return {
    user: config?.User ?? '',
    env: config?.Env ?? [],
    entrypoint: config?.Entrypoint ?? [],
    cmd: config?.Cmd ?? [],
    workingDir: config?.WorkingDir ?? '',
    labels: config?.Labels ?? {},
    stopSignal: config?.StopSignal ?? undefined,
  };
}

function registryAuth(auth: PullOptions['auth']): RegistryAuth | undefined {
  return auth;
}

/** Images by manifest digest: a small file each that names the layers; written once these are all here. */
export class ImageStore {
  readonly #folder: string;
  /** Layers that a running pull counts on. */
  readonly #wanted = new Map<symbol, string[]>();

  constructor(
    root: string,
    private readonly layers: LayerStore,
  ) {
    this.#folder = path.join(root, 'images');
  }

  async prepare(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
  }

  /** Undefined, too, when a layer is here, but `holder` has not shown to have it; see LayerHolders. */
  async find(digest: string, holder?: string): Promise<Image | undefined> {
    assertDigest(digest);
    const text = await readFileIfExists(this.#file(digest));
    if (text === undefined) return undefined;
    const image = ImageFile.parse(JSON.parse(text));
    for (const layer of image.layers) if (!(await this.layers.has(layer, holder))) return undefined;
    return image;
  }

  /** Fetches what is missing. Throws what the registry client does, `invalid_input` for an image that contradicts itself. */
  async pull(options: PullOptions): Promise<Image> {
    const reference = parseReference(options.reference);
    const here = reference.digest ? await this.find(reference.digest, options.holder) : undefined;
    if (here) return here;
    const { registry, repository } = reference;
    const client = new RegistryClient({
      registry,
      auth: registryAuth(options.auth),
      insecure: options.insecure,
      reach: options.reach,
    });
    const pull = Symbol(options.reference);
    try {
      const found = await client.resolveImage(reference, hostArchitecture(), options.signal);
      const diffIds = found.config.rootfs.diff_ids;
      const descriptors = found.manifest.layers;
      if (diffIds.length !== descriptors.length) {
        throw new PlatformError(
          'invalid_input',
          `the image ${options.reference} lists ${descriptors.length} layers, but its configuration ${diffIds.length}`,
        );
      }
      this.#wanted.set(pull, diffIds);
      const tasks = descriptors.map((descriptor, index) => async () => {
        const source = {
          mediaType: descriptor.mediaType,
          open: () =>
            client.getBlob(repository, descriptor.digest, {
              sizeBytes: descriptor.size,
              signal: options.signal,
            }),
        };
        const result = await this.layers.ensure(diffIds[index] ?? '', source, options);
        options.onProgress?.(
          `layer ${index + 1} of ${descriptors.length}: ${result === 'made' ? 'fetched' : 'here'}`,
        );
      });
      await runSome(tasks, LAYERS_AT_ONCE);
      const image: Image = { digest: found.digest, layers: diffIds, config: runConfig(found.config) };
      await writeFileDurably(this.#file(image.digest), JSON.stringify(image));
      return image;
    } finally {
      this.#wanted.delete(pull);
      await client.close();
    }
  }

  /** Whether a pull that is under way counts on the layer. */
  isWanted(diffId: string): boolean {
    return [...this.#wanted.values()].some((layers) => layers.includes(diffId));
  }

  /** Forgets images that are not to be kept; returns the layers that the others need. */
  async prune(keepDigests: ReadonlySet<string>): Promise<Set<string>> {
    const needed = new Set<string>();
    for (const name of await readdir(this.#folder)) {
      if (!/^[0-9a-f]{64}\.json$/.test(name)) continue;
      const digest = `sha256:${name.slice(0, 64)}`;
      if (!keepDigests.has(digest)) await rm(this.#file(digest), { force: true });
      else for (const layer of (await this.find(digest))?.layers ?? []) needed.add(layer);
    }
    return needed;
  }

  #file(digest: string): string {
    return path.join(this.#folder, `${digestHex(digest)}.json`);
  }
}

/** Runs tasks, at most `atOnce` at a time; fails with the first failure once the running ones are done. */
async function runSome(tasks: (() => Promise<void>)[], atOnce: number): Promise<void> {
  const queue = [...tasks];
  const failures: unknown[] = [];
  const worker = async () => {
    for (let task = queue.shift(); task && failures.length === 0; task = queue.shift()) {
      await task().catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  if (failures.length > 0) throw failures[0];
}
