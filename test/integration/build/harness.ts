import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import {
  type BaseImages,
  type BuildRequest,
  type BuiltImage,
  buildImage,
  type DiskLimits,
  ensureBases,
  type SourceLimits,
} from '#libs/build';
import { type Container, type Engine, openEngine, teardownKernelObjects } from '#libs/engine';
import { randomText, systemClock, systemExec } from '#libs/host';
import { silentLogger } from '#libs/log';
import type { ImageConfigFile, ImageManifest, PushBlobOptions, PushManifestOptions } from '#libs/oci';

const PROJECT = path.resolve(import.meta.dirname, '../../..');
export const FIXTURES = path.join(PROJECT, 'test/fixtures/apps');
const BASES_FOLDER = '/var/cache/gantry/bases';

/** A registry in a folder: it verifies digests and remembers what was pushed, by order. */
class FolderRegistry {
  readonly pushed: string[] = [];

  constructor(readonly folder: string) {}

  async hasBlob(_repository: string, digest: string): Promise<boolean> {
    return (await readdir(this.folder)).includes(digest);
  }

  async pushBlob({ digest, open }: PushBlobOptions): Promise<'pushed' | 'existed'> {
    if (await this.hasBlob('', digest)) return 'existed';
    await this.#put(digest, await collect(open()));
    return 'pushed';
  }

  async pushManifest({ reference, bytes }: PushManifestOptions): Promise<{ digest: string }> {
    await this.#put(reference, Buffer.from(bytes));
    return { digest: reference };
  }

  async read(digest: string): Promise<Buffer> {
    return readFile(path.join(this.folder, digest));
  }

  async #put(digest: string, bytes: Buffer): Promise<void> {
    const actual = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (actual !== digest) throw new Error(`pushed as ${digest}, but it is ${actual}`);
    await writeFile(path.join(this.folder, digest), bytes);
    this.pushed.push(digest);
  }
}

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

export interface BuildRun {
  image: BuiltImage;
  lines: string[];
}

export interface BuildChange {
  build?: Partial<BuildRequest>;
  signal?: AbortSignal;
  diskLimits?: DiskLimits;
  sourceLimits?: SourceLimits;
  onLine?: (line: string) => void;
}

/** An engine, the base images and a registry, in folders that `close` removes. */
export class Workbench {
  private constructor(
    readonly root: string,
    readonly engine: Engine,
    readonly bases: BaseImages,
    readonly registry: FolderRegistry,
    private readonly installationId: string,
  ) {}

  static async open(): Promise<Workbench> {
    const log = silentLogger();
    const bases = await ensureBases({ cacheDir: BASES_FOLDER, exec: systemExec, log });
    const root = await mkdtemp(path.join(os.tmpdir(), 'gantry-build-'));
    try {
      await chmod(root, 0o711);
      await mkdir(path.join(root, 'registry'));
      const installationId = randomText(5);
      const config = { root: path.join(root, 'engine'), installationId };
      const engine = await openEngine(config, { exec: systemExec, clock: systemClock, log });
      return new Workbench(
        root,
        engine,
        bases,
        new FolderRegistry(path.join(root, 'registry')),
        installationId,
      );
    } catch (error) {
      await rm(root, { recursive: true, force: true });
      throw error;
    }
  }

  get workDir(): string {
    return path.join(this.root, 'work');
  }

  /** A copy of a fixture that a test may change. */
  async copyOf(fixture: string): Promise<string> {
    const folder = await mkdtemp(path.join(this.root, 'source-'));
    await cp(path.join(FIXTURES, fixture), folder, { recursive: true });
    return folder;
  }

  /** What no build may leave: work folders and containers. */
  async leftovers(): Promise<string[]> {
    const names = await readdir(this.workDir);
    return [...names, ...this.engine.list().map((container) => container.spec.id)];
  }

  /** Builds a folder's files as a commit's; builds with the same `app` share their cache. */
  async build(source: string | Readable, app = 'app', change: BuildChange = {}): Promise<BuildRun> {
    const lines: string[] = [];
    const tar = typeof source === 'string' ? sourceTar(source) : source;
    const image = await buildImage({
      build: {
        id: `bld_${randomText(8)}`,
        app: { id: `app_${app}`, organizationId: 'org_test' },
        commit: 'c0ffee',
        sourceDateEpoch: 1_760_000_000,
        env: {},
        resources: { memoryBytes: 2 ** 30, cpus: 2, pids: 512 },
        timeoutMs: 120_000,
        ...change.build,
      },
      source: tar,
      engine: this.engine,
      registry: this.registry,
      repository: `app_${app}/app`,
      bases: this.bases,
      cacheDir: path.join(this.root, 'cache', app),
      workDir: this.workDir,
      buildpacksDir: path.join(PROJECT, 'buildpacks'),
      exec: systemExec,
      onLine: (line) => {
        lines.push(line);
        change.onLine?.(line);
      },
      ...(change.signal ? { signal: change.signal } : {}),
      ...(change.diskLimits ? { diskLimits: change.diskLimits } : {}),
      ...(change.sourceLimits ? { sourceLimits: change.sourceLimits } : {}),
    });
    return { image, lines };
  }

  async manifest(digest: string): Promise<ImageManifest> {
    return JSON.parse((await this.registry.read(digest)).toString()) as ImageManifest;
  }

  async config(digest: string): Promise<ImageConfigFile> {
    const manifest = await this.manifest(digest);
    return JSON.parse((await this.registry.read(manifest.config.digest)).toString()) as ImageConfigFile;
  }

  /** What the files of a pushed layer hold, one after the other. */
  async contentsOf(layer: string): Promise<Buffer> {
    const child = systemExec.spawn('bsdtar', ['-xOf', path.join(this.registry.folder, layer)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (!child.stdout) throw new Error('bsdtar has no output');
    return collect(child.stdout);
  }

  /** Starts a process type of an image as the agent would, from the layers that the build left in the engine. */
  async start(run: BuildRun, service = 'web', env: Record<string, string> = {}): Promise<Container> {
    const config = await this.config(run.image.digest);
    const argv = run.image.services.find((candidate) => candidate.name === service)?.argv;
    if (!argv) throw new Error(`no service ${service}`);
    const imageEnv = Object.fromEntries((config.config?.Env ?? []).map((entry) => splitOnce(entry)));
    const container = await this.engine.create({
      id: `ins_${randomText(8)}`,
      organizationId: 'org_test',
      ownerId: 'app_running',
      profile: 'instance',
      labels: {},
      layers: config.rootfs.diff_ids,
      argv,
      env: { ...imageEnv, PORT: '8080', ...env },
      workingDir: config.config?.WorkingDir ?? '/',
      user: config.config?.User ?? '',
      hostname: 'instance',
      resources: { memoryBytes: 512 * 2 ** 20, cpus: 1, pids: 512 },
      mounts: [],
      network: 'bridge',
      logMaxBytes: 1 << 20,
    });
    return this.engine.start(container.spec.id);
  }

  async close(): Promise<void> {
    for (const container of this.engine.list()) await this.engine.remove(container.spec.id);
    await this.engine.close();
    await teardownKernelObjects(this.installationId, {
      exec: systemExec,
      clock: systemClock,
      log: silentLogger(),
    });
    await rm(this.root, { recursive: true, force: true });
  }
}

function splitOnce(entry: string): [string, string] {
  const at = entry.indexOf('=');
  return [entry.slice(0, at), entry.slice(at + 1)];
}

/** The files of a folder as `git archive` would send them. */
export function sourceTar(folder: string): Readable {
  const child = systemExec.spawn(
    'tar',
    ['--create', '--directory', folder, '--sort=name', '--exclude=./node_modules', '.'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  if (!child.stdout) throw new Error('tar has no output');
  // Read from the start: a child's output that nobody reads is dropped when it ends.
  return child.stdout.pipe(new PassThrough({ highWaterMark: 64 << 20 }));
}
