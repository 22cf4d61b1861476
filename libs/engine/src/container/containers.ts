import { readFile } from 'node:fs/promises';
import { constants as osConstants } from 'node:os';
import path from 'node:path';
import { errorMessage, PlatformError } from '#libs/errors';
import { oomKills } from '../kernel/cgroups.ts';
import { isAlive, signalNumber, signalProcess } from '../kernel/process-identity.ts';
import type { Container, ContainerExit, ContainerSpec } from '../types.ts';
import { createContainer } from './create-container.ts';
import { ExitWatch, readExitFile } from './exit-watch.ts';
import { KeyedLock } from './keyed-lock.ts';
import { cgroupOf, type EngineParts, runtimeIdOf } from './parts.ts';
import { type ContainerRecord, newRecord, SpecSchema, toContainer } from './record.ts';
import { removeRemains } from './remove-container.ts';

/** Exits are told by the kernel; this only finds what it missed, such as a monitor that was killed. */
const SWEEP_INTERVAL_MS = 5000;
const KILL_TIMEOUT_MS = 20_000;
/** What a shell would say of a process that SIGKILL ended. */
const LOST_EXIT_CODE = 137;
const MEASURE_TIMEOUT_MS = 30_000;
const MAX_SHOWN = 200;

/** The containers of the installation: in memory the whole truth, on disk what is needed to know it again. */
export class Containers {
  readonly #records = new Map<string, ContainerRecord>();
  readonly #making = new Map<string, ContainerSpec>();
  readonly #locks = new KeyedLock();
  readonly #listeners = new Set<(id: string, exit: ContainerExit) => void>();
  readonly #watch: ExitWatch;
  readonly #sweeper: NodeJS.Timeout;

  constructor(private readonly parts: EngineParts) {
    const onError = (error: unknown) => parts.log.error({ err: error }, 'watching for exits failed');
    this.#watch = new ExitWatch(parts.store.exitFolder, (name) => this.#onExitFile(name), onError);
    this.#sweeper = setInterval(() => void this.sweep().catch(onError), SWEEP_INTERVAL_MS);
    this.#sweeper.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    this.#watch.close();
    await this.#locks.idle();
  }

  /** Takes over a container that an earlier process made. */
  adopt(record: ContainerRecord): void {
    this.#records.set(record.spec.id, record);
  }

  list(): Container[] {
    return [...this.#records.values()].map(toContainer);
  }

  get(id: string): Container | undefined {
    const record = this.#records.get(id);
    return record && toContainer(record);
  }

  /** Whether a container, also one that is being made, has the layer in its rootfs. */
  usesLayer(diffId: string): boolean {
    return this.#specs().some((spec) => spec.layers.includes(diffId));
  }

  hasOwner(ownerId: string): boolean {
    return this.#specs().some((spec) => spec.ownerId === ownerId);
  }

  #specs(): ContainerSpec[] {
    return [...this.#making.values(), ...[...this.#records.values()].map((record) => record.spec)];
  }

  async create(given: ContainerSpec): Promise<Container> {
    const spec = parseSpec(given);
    if (this.#records.has(spec.id) || this.#making.has(spec.id)) {
      throw new PlatformError('conflict', `there already is a container ${spec.id}`, {
        hint: 'remove it first, or use another id',
      });
    }
    this.#making.set(spec.id, spec);
    try {
      return await this.#locks.run(spec.id, async () => {
        const state = await createContainer(this.parts, spec);
        const record = newRecord(spec, this.parts.store.paths(spec.id).logFile, state);
        this.#records.set(spec.id, record);
        return toContainer(record);
      });
    } finally {
      this.#making.delete(spec.id);
    }
  }

  async start(id: string): Promise<Container> {
    const record = this.#require(id);
    return this.#locks.run(id, async () => {
      if (record.removing) throw new PlatformError('conflict', `container ${id} is being removed`);
      if (record.state.exit) {
        throw new PlatformError('conflict', `container ${id} has ended and cannot be started again`, {
          hint: 'create a new one from the same image',
        });
      }
      if (record.state.startedAtMs !== null) return toContainer(record);
      const state = { ...record.state, startedAtMs: this.parts.clock.now() };
      await this.parts.store.saveState(id, state);
      record.state = state;
      const alive = () => isAlive(state.init, this.parts.bootId);
      await this.parts.runtime.start(runtimeIdOf(this.parts, id), alive);
      return toContainer(record);
    });
  }

  async stop(id: string, graceMs: number): Promise<ContainerExit | null> {
    const record = this.#require(id);
    if (record.state.exit) return record.state.exit;
    if (record.state.startedAtMs === null) return null;
    const signal = signalNumber(record.spec.stopSignal ?? 'SIGTERM');
    if (graceMs > 0) {
      signalProcess(record.state.init, signal, this.parts.bootId);
      const exit = await this.#endedWithin(record, graceMs);
      if (exit) return exit;
    }
    return this.#killAndWait(record);
  }

  async kill(id: string, signal: string): Promise<void> {
    const record = this.#require(id);
    const number = signalNumber(signal);
    if (record.state.exit || !signalProcess(record.state.init, number, this.parts.bootId)) {
      throw new PlatformError('conflict', `container ${id} is not running`);
    }
  }

  async remove(id: string): Promise<void> {
    const record = this.#records.get(id);
    if (!record) return;
    record.removing = true;
    if (!record.state.exit) await this.#killAndWait(record);
    await this.#locks.run(id, async () => {
      if (this.#records.get(id) !== record) return;
      const { link, address, monitor } = record.state;
      const { profile } = record.spec;
      await removeRemains(this.parts, { id, profile, link, monitor: monitor ?? undefined });
      if (address) this.parts.network.release(address);
      this.#records.delete(id);
    });
  }

  async measure(id: string): Promise<{ bytes: number; files: number }> {
    this.#require(id);
    const { upper } = this.parts.store.paths(id);
    // Files vanish while it counts, for which it ends with 1; what it could count is what it says.
    const count = async (unit: string) => {
      const args = ['--summarize', '--one-file-system', unit, '--', upper];
      const { stdout } = await this.parts.exec.tryRun('du', args, { timeoutMs: MEASURE_TIMEOUT_MS });
      return Number.parseInt(stdout, 10) || 0;
    };
    return { bytes: await count('--block-size=1'), files: await count('--inodes') };
  }

  wait(id: string): Promise<ContainerExit> {
    return this.#require(id).ended.promise;
  }

  onExit(listener: (id: string, exit: ContainerExit) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks at every container that should have a process: at its exit file, and at whether anything is left to write one. */
  async sweep(): Promise<void> {
    if (await this.parts.network.restoreFirewall()) {
      this.parts.log.warn('the firewall rules between containers were gone and have been put back');
    }
    await this.#watch.scan();
    for (const record of this.#records.values()) {
      const { exit, init, monitor } = record.state;
      if (exit || isAlive(init, this.parts.bootId)) continue;
      if (monitor && isAlive(monitor, this.parts.bootId)) continue;
      await this.#settle(record, { code: LOST_EXIT_CODE, atMs: this.parts.clock.now() });
    }
  }

  #require(id: string): ContainerRecord {
    const record = this.#records.get(id);
    if (record) return record;
    throw new PlatformError('not_found', `there is no container ${id} on this node`);
  }

  async #endedWithin(record: ContainerRecord, ms: number): Promise<ContainerExit | undefined> {
    const giveUp = new AbortController();
    const timeout = this.parts.clock.sleep(ms, giveUp.signal).then(
      () => undefined,
      () => undefined,
    );
    try {
      return await Promise.race([record.ended.promise, timeout]);
    } finally {
      giveUp.abort();
    }
  }

  async #killAndWait(record: ContainerRecord): Promise<ContainerExit> {
    signalProcess(record.state.init, osConstants.signals.SIGKILL, this.parts.bootId);
    const soon = await this.#endedWithin(record, SWEEP_INTERVAL_MS / 5);
    if (soon) return soon;
    await this.sweep();
    const exit = await this.#endedWithin(record, KILL_TIMEOUT_MS);
    if (exit) return exit;
    throw new PlatformError('timeout', `container ${record.spec.id} survived SIGKILL for 20 s`, {
      hint: 'its process probably waits for a disk or network file system; look at /proc/PID/stack',
    });
  }

  #onExitFile(runtimeId: string): void {
    const prefix = this.parts.names.containerPrefix;
    const record = runtimeId.startsWith(prefix)
      ? this.#records.get(runtimeId.slice(prefix.length))
      : undefined;
    if (!record || record.state.exit) return;
    void this.#settle(record).catch((error: unknown) => {
      this.parts.log.error({ container: record.spec.id, err: error }, 'taking note of an exit failed');
    });
  }

  /** Gives the record its exit, once: from the exit file, else `lost` if that is given. Listeners hear of it at once. */
  #settle(record: ContainerRecord, lost?: { code: number; atMs: number }): Promise<void> {
    const { id, profile } = record.spec;
    return this.#locks.run(id, async () => {
      if (record.state.exit || this.#records.get(id) !== record) return;
      const file = (await readExitFile(this.parts.store.exitFolder, runtimeIdOf(this.parts, id))) ?? lost;
      if (!file) return;
      const kills = await oomKills(this.parts.cgroups, cgroupOf(this.parts, profile, id));
      const exit = { ...file, oomKilled: kills > 0 && file.code !== 0 };
      record.state = { ...record.state, exit };
      record.ended.resolve(exit);
      this.#tell(id, exit);
      await this.parts.store.saveState(id, record.state);
    });
  }

  #tell(id: string, exit: ContainerExit): void {
    for (const listener of this.#listeners) {
      try {
        listener(id, exit);
      } catch (error) {
        this.parts.log.error(
          { container: id, err: error },
          `a listener for exits threw: ${errorMessage(error)}`,
        );
      }
    }
  }
}

function parseSpec(given: ContainerSpec): ContainerSpec {
  const parsed = SpecSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  // Keys come from the image too: neither long nor unprintable ones have a place in a message.
  const where = JSON.stringify(issue?.path.join('.').slice(0, MAX_SHOWN)).slice(1, -1);
  throw new PlatformError('invalid_input', `container spec: ${where}: ${issue?.message.slice(0, MAX_SHOWN)}`);
}

/** This process's own hard limit on open files (proc(5), /proc/self/limits). */
export async function ownOpenFilesLimit(): Promise<number> {
  const limits = await readFile(path.join('/proc/self', 'limits'), 'utf8');
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  return hard === undefined || hard === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(hard);
}
