import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import type { Readable } from 'node:stream';
import type {
  Container,
  ContainerExit,
  ContainerSpec,
  Engine,
  Image,
  ImageConfig,
  PullOptions,
} from '#libs/engine';
import { PlatformError } from '#libs/errors';

const EMPTY_CONFIG: ImageConfig = {
  user: '',
  env: [],
  entrypoint: [],
  cmd: ['serve'],
  workingDir: '',
  labels: {},
};

/**
 * An engine without a kernel: containers are entries of a map, their logs real files in the k8s-file format under
 * `folder`, and a "process" that listens is a real TCP server on 127.0.0.1. Tests drive it: `exit`, `say`, `listen`.
 * What a real engine keeps in the kernel and on disk survives here in `state`, so that a second FakeEngine on the same
 * state is the engine of a restarted agent.
 */
export class FakeEngine implements Engine {
  /** Every verb called, e.g. `create ins_…_0_1`. */
  readonly calls: string[] = [];
  /** Set to make a verb fail: called with the verb and its id, a returned error is thrown. */
  fail: (verb: string, id: string) => Error | undefined = () => undefined;
  /** What `stop` does to a process: true when it heeds the signal, false when only SIGKILL ends it. */
  heedsStop = true;
  /** Resolves before a pull ends; tests hold pulls with it. */
  pullGate: Promise<void> = Promise.resolve();
  readonly #listeners = new Set<(id: string, exit: ContainerExit) => void>();

  constructor(
    readonly folder: string,
    readonly state = new FakeEngineState(),
  ) {}

  /** Makes an image available in the registry (not yet in the local store). */
  publish(digest: string, config: Partial<ImageConfig> = {}): void {
    this.state.published.set(digest, { digest, layers: [digest], config: { ...EMPTY_CONFIG, ...config } });
  }

  async pull({ reference, signal }: PullOptions): Promise<Image> {
    this.#called('pull', reference);
    await this.pullGate;
    signal?.throwIfAborted();
    const image = this.state.published.get(reference.split('@')[1] ?? '');
    if (!image) throw new PlatformError('not_found', `${reference}: no such image`);
    this.state.images.set(image.digest, image);
    return image;
  }

  async findImage(digest: string): Promise<Image | undefined> {
    return this.state.images.get(digest);
  }

  async importLayer(_diffId: string, tar: Readable): Promise<void> {
    for await (const _ of tar);
  }

  async hasLayer(diffId: string): Promise<boolean> {
    return this.state.images.has(diffId);
  }

  async prune(keepDigests: ReadonlySet<string>): Promise<{ layersRemoved: number }> {
    this.#called('prune', [...keepDigests].join(' '));
    const dropped = [...this.state.images.keys()].filter((digest) => !keepDigests.has(digest));
    for (const digest of dropped) this.state.images.delete(digest);
    return { layersRemoved: dropped.length };
  }

  async create(spec: ContainerSpec): Promise<Container> {
    this.#called('create', spec.id);
    if (this.state.containers.has(spec.id))
      throw new PlatformError('conflict', `container ${spec.id} is there already`);
    const logFile = path.join(this.folder, spec.id, 'log');
    await mkdir(path.dirname(logFile), { recursive: true });
    await writeFile(logFile, '');
    const container: Container = {
      spec,
      status: 'created',
      pid: null,
      address: '127.0.0.1',
      createdAtMs: Date.now(),
      startedAtMs: null,
      exit: null,
      logFile,
    };
    this.state.containers.set(spec.id, container);
    return container;
  }

  async start(id: string): Promise<Container> {
    this.#called('start', id);
    const container = this.#require(id);
    if (container.status !== 'created')
      throw new PlatformError('conflict', `container ${id} is ${container.status}`);
    Object.assign(container, { status: 'running', pid: 1, startedAtMs: Date.now() });
    return { ...container };
  }

  async stop(id: string, graceMs: number): Promise<ContainerExit | null> {
    this.#called(`stop(${graceMs})`, id);
    const container = this.state.containers.get(id);
    if (container?.status !== 'running') return container?.exit ?? null;
    return this.exit(id, this.heedsStop ? 0 : 137);
  }

  async kill(id: string, signal: string): Promise<void> {
    this.#called(`kill(${signal})`, id);
    if (this.#require(id).status === 'running') this.exit(id, signal === 'SIGKILL' ? 137 : 143);
  }

  async remove(id: string): Promise<void> {
    this.#called('remove', id);
    this.state.servers.get(id)?.close();
    this.state.containers.delete(id);
    await rm(path.join(this.folder, id), { recursive: true, force: true });
  }

  get(id: string): Container | undefined {
    const container = this.state.containers.get(id);
    return container && { ...container };
  }

  list(): Container[] {
    return [...this.state.containers.values()].map((container) => ({ ...container }));
  }

  async wait(id: string): Promise<ContainerExit> {
    const { exit } = this.#require(id);
    if (exit) return exit;
    const { promise, resolve } = Promise.withResolvers<ContainerExit>();
    const off = this.onExit((ended, how) => {
      if (ended === id) resolve(how);
    });
    return await promise.finally(off);
  }

  onExit(listener: (id: string, exit: ContainerExit) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What `measure` says, by id. */
  readonly written = new Map<string, { bytes: number; files: number }>();
  async measure(id: string): Promise<{ bytes: number; files: number }> {
    return this.written.get(id) ?? { bytes: 0, files: 0 };
  }

  /** The running user's own ids, so that chown works in tests without root too. */
  async idRange(): Promise<number> {
    return (process.getuid?.() ?? 0) - 1000;
  }

  async releaseIdRange(ownerId: string): Promise<void> {
    this.#called('release-id-range', ownerId);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
  }

  /** The process ends. */
  exit(id: string, code: number, oomKilled = false): ContainerExit {
    const container = this.#require(id);
    const exit = { code, oomKilled, atMs: Date.now() };
    Object.assign(container, { status: 'exited', pid: null, exit });
    this.state.servers.get(id)?.close();
    this.state.servers.delete(id);
    for (const listener of this.#listeners) listener(id, exit);
    return exit;
  }

  /** The process writes a line. */
  async say(
    id: string,
    text: string,
    stream: 'stdout' | 'stderr' = 'stdout',
    tag: 'F' | 'P' = 'F',
  ): Promise<void> {
    await appendFile(this.#require(id).logFile, `${new Date().toISOString()} ${stream} ${tag} ${text}\n`);
  }

  /** The process accepts connections on `port`. */
  async listen(id: string, port: number): Promise<void> {
    const server = createServer((socket) => socket.destroy());
    this.state.servers.set(id, server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
  }

  /** The process accepts none any more. */
  async deafen(id: string): Promise<void> {
    const server = this.state.servers.get(id);
    this.state.servers.delete(id);
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  #called(verb: string, id: string): void {
    this.calls.push(`${verb} ${id}`);
    const error = this.fail(verb, id);
    if (error) throw error;
  }

  #require(id: string): Container {
    const container = this.state.containers.get(id);
    if (!container) throw new PlatformError('not_found', `no container ${id}`);
    return container;
  }
}

/** What outlives an engine's process. */
export class FakeEngineState {
  readonly published = new Map<string, Image>();
  readonly images = new Map<string, Image>();
  readonly containers = new Map<string, Container>();
  readonly servers = new Map<string, Server>();
}
