import { type FSWatcher, watch } from 'node:fs';
import { type InstanceLogBatch, nodeEndpoints } from '#libs/contract';
import { errorMessage } from '#libs/errors';
import type { Clock } from '#libs/host';
import type { Logger } from '#libs/log';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import type { LogPosition } from './log-file.ts';
import type { LogOffsets } from './log-offsets.ts';
import { LogSource } from './log-source.ts';

const MAX_BATCH_ENTRIES = 1_000;
const MAX_BATCH_BYTES = 256 * 1024;
const MAX_BATCHES = 100;
/** Between two posts, unless somebody waits for a container's last lines. */
const POST_INTERVAL_MS = 100;
/** Should a change notice get lost, the files are looked at anyway. */
const LOOK_INTERVAL_MS = 2_000;
/** A file that cannot be watched (not there yet, or just replaced) is looked at this often. */
const UNWATCHED_INTERVAL_MS = 100;
const CLOSE_TIMEOUT_MS = 1_000;
const RETRY_INTERVAL_MS = 1_000;
/** Logs of removed containers that still wait for the control plane, kept open; the oldest are given up. */
const MAX_ORPHANS = 200;

export interface LoggedContainer {
  containerId: string;
  instanceId: string;
  createdAtMs: number;
  logFile: string;
}

export interface LogShipperDeps {
  controlPlane: Pick<ControlPlane, 'callUntilAnswered' | 'away'>;
  offsets: LogOffsets;
  clock: Clock;
  log: Logger;
}

interface Followed {
  container: LoggedContainer;
  source: LogSource;
  watcher: FSWatcher | undefined;
  /** May hold unread entries. */
  readable: boolean;
  /** The container is gone; what is read to its end is let go of. */
  removed: boolean;
  /** Somebody has already waited for the last lines. */
  waited: boolean;
  drained: PromiseWithResolvers<void> | undefined;
}

interface Collected {
  followed: Followed;
  resumeAt: LogPosition;
  entries: InstanceLogBatch['entries'];
}

/**
 * Sends containers' log lines to the control plane, at least once. The files are the buffer: at most one batch is in
 * memory, however long the control plane is away.
 */
export class LogShipper {
  readonly #followed = new Map<string, Followed>();
  #wake = Promise.withResolvers<void>();
  #urgent = false;
  #closing = false;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(private readonly deps: LogShipperDeps) {
    this.#done = this.#run().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) deps.log.error({ err: error }, 'sending of instance logs ended');
    });
  }

  /** Begins to follow a container's log where an earlier process stopped; a no-op when it is followed. */
  async follow(container: LoggedContainer): Promise<void> {
    if (this.#followed.has(container.containerId)) return;
    const resume = await this.deps.offsets.read(container.containerId, container.createdAtMs);
    if (this.#followed.has(container.containerId)) return;
    const followed: Followed = {
      container,
      source: new LogSource(container.instanceId, container.logFile, resume),
      watcher: undefined,
      readable: true,
      removed: false,
      waited: false,
      drained: undefined,
    };
    this.#followed.set(container.containerId, followed);
    this.#watch(followed);
    this.#wakeUp();
  }

  /** Adds a line of the platform's own to an instance's log. */
  note(containerId: string, text: string, atMs = this.deps.clock.now()): void {
    const followed = this.#followed.get(containerId);
    if (!followed) return;
    followed.source.note(text, atMs);
    this.#markReadable(followed);
  }

  /** Adds a line that comes after everything the process has written. */
  noteEnd(containerId: string, text: string, atMs = this.deps.clock.now()): void {
    const followed = this.#followed.get(containerId);
    if (!followed) return;
    followed.source.noteEnd(text, atMs);
    this.#markReadable(followed);
  }

  /**
   * The process has ended: sends the rest of its log and returns when it has arrived, or after `timeoutMs`. Waits once
   * only, and not at all while the control plane is away: nobody could read the lines there.
   */
  async drain(containerId: string, timeoutMs: number): Promise<void> {
    const followed = this.#followed.get(containerId);
    if (!followed) return;
    followed.source.end();
    this.#markReadable(followed);
    if (followed.waited || this.deps.controlPlane.away) return;
    followed.waited = true;
    followed.drained ??= Promise.withResolvers<void>();
    this.#urgent = true;
    this.#wakeUp();
    const timeout = new AbortController();
    await Promise.race([
      followed.drained.promise,
      this.deps.clock.sleep(timeoutMs, timeout.signal).catch(() => {}),
    ]);
    timeout.abort();
  }

  /** The container is about to be removed: its file, kept open, is still sent to its end. */
  async release(containerId: string): Promise<void> {
    const followed = this.#followed.get(containerId);
    if (!followed) return;
    await followed.source.keepOpen();
    followed.source.end();
    followed.removed = true;
    this.#unwatch(followed);
    this.#followed.delete(containerId);
    const orphans = [...this.#followed.keys()].filter((key) => key.startsWith('removed:'));
    if (orphans.length >= MAX_ORPHANS && orphans[0]) await this.#letGo(orphans[0]);
    // A key of its own: a later container may get the same id.
    this.#followed.set(`removed:${containerId}:${this.deps.clock.now()}`, followed);
    this.#markReadable(followed);
    await this.deps.offsets.remove(containerId);
  }

  /** Lets go of everything; a batch on its way is given a moment to arrive, so that it is not sent twice. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#wakeUp();
    const timer = setTimeout(() => this.#stop.abort(), this.deps.controlPlane.away ? 0 : CLOSE_TIMEOUT_MS);
    await this.#done;
    clearTimeout(timer);
    for (const followed of this.#followed.values()) {
      followed.watcher?.close();
      await followed.source.close();
    }
    this.#followed.clear();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let lookedMs = this.deps.clock.now();
    while (!this.#closing) {
      await this.#waitForWork(lookedMs + LOOK_INTERVAL_MS - this.deps.clock.now());
      if (this.#closing) return;
      for (const followed of this.#followed.values()) if (isUnwatched(followed)) this.#lookAgain(followed);
      if (this.deps.clock.now() - lookedMs >= LOOK_INTERVAL_MS) {
        lookedMs = this.deps.clock.now();
        for (const followed of this.#followed.values()) this.#lookAgain(followed);
      }
      try {
        if (await this.#sendOneBatch(signal)) await this.#pause();
      } catch (error) {
        if (signal.aborted) return;
        this.deps.log.error({ err: error }, 'cannot send instance logs; trying again');
        await this.deps.clock.sleep(RETRY_INTERVAL_MS, signal);
      }
    }
  }

  /** Waits until the next post is due, or somebody is in a hurry. */
  async #pause(): Promise<void> {
    const until = this.deps.clock.now() + POST_INTERVAL_MS;
    while (!this.#urgent && !this.#closing && this.deps.clock.now() < until) {
      await this.#woken(until - this.deps.clock.now());
    }
  }

  async #sendOneBatch(signal: AbortSignal): Promise<boolean> {
    const collected = await this.#collect();
    const batches = collected.filter(({ entries }) => entries.length > 0);
    if (batches.length > 0) await this.#post(batches, signal);
    for (const { followed, resumeAt } of collected) {
      if (followed.removed) continue;
      const { containerId, createdAtMs } = followed.container;
      await this.deps.offsets.write(containerId, createdAtMs, resumeAt).catch((error: unknown) => {
        // A full disk, say: the lines have arrived all the same, and come twice only if the agent ends now.
        this.deps.log.warn(
          { reason: errorMessage(error), container: containerId },
          'cannot keep a log offset',
        );
      });
    }
    await this.#settle();
    return batches.length > 0;
  }

  async #post(batches: Collected[], signal: AbortSignal): Promise<void> {
    const body = {
      batches: batches.map(({ followed, entries }) => ({ instance: followed.source.instanceId, entries })),
    };
    try {
      await this.deps.controlPlane.callUntilAnswered(nodeEndpoints.instanceLogs, { body }, signal);
    } catch (error) {
      signal.throwIfAborted();
      // Refused for good (an instance that is long gone, say): trying again would hold up everybody's lines.
      this.deps.log.warn(
        { reason: errorMessage(error), batches: batches.length },
        'log lines were refused; dropped',
      );
    }
  }

  async #collect(): Promise<Collected[]> {
    const collected: Collected[] = [];
    let room = MAX_BATCH_ENTRIES;
    let bytes = 0;
    for (const [key, followed] of [...this.#followed]) {
      if (!followed.readable) continue;
      if (room <= 0 || bytes >= MAX_BATCH_BYTES || collected.length >= MAX_BATCHES) break;
      followed.readable = false;
      const chunk = await this.#readChunk(followed, Math.min(room, 500));
      if (!chunk) continue;
      followed.readable = true; // there may be more
      // Whoever had a turn goes to the end, so that one that never stops talking starves nobody.
      this.#followed.delete(key);
      this.#followed.set(key, followed);
      room -= chunk.entries.length;
      for (const entry of chunk.entries) bytes += entry.text.length;
      collected.push({ followed, ...chunk });
    }
    return collected;
  }

  async #readChunk(followed: Followed, maxEntries: number) {
    try {
      return await followed.source.read(maxEntries);
    } catch (error) {
      this.deps.log.warn({ err: error, container: followed.container.containerId }, 'cannot read a log file');
      return undefined;
    }
  }

  /** Answers those who wait for sources that have nothing more to give. */
  async #settle(): Promise<void> {
    this.#urgent = false;
    for (const [key, followed] of [...this.#followed]) {
      if (followed.readable) {
        if (followed.drained) this.#urgent = true;
        continue;
      }
      followed.drained?.resolve();
      followed.drained = undefined;
      if (followed.removed) await this.#letGo(key);
    }
  }

  async #letGo(key: string): Promise<void> {
    const followed = this.#followed.get(key);
    this.#followed.delete(key);
    followed?.watcher?.close();
    followed?.drained?.resolve();
    await followed?.source.close();
  }

  #watch(followed: Followed): void {
    if (followed.watcher) return;
    try {
      followed.watcher = watch(followed.container.logFile, (event) => {
        if (event === 'rename') this.#unwatch(followed); // replaced or deleted; the next look watches the new one
        this.#markReadable(followed);
      });
      followed.watcher.on('error', () => this.#unwatch(followed));
    } catch {
      followed.watcher = undefined; // not there yet
    }
  }

  #unwatch(followed: Followed): void {
    followed.watcher?.close();
    followed.watcher = undefined;
  }

  #lookAgain(followed: Followed): void {
    if (!followed.removed) this.#watch(followed);
    followed.readable = true;
  }

  #markReadable(followed: Followed): void {
    followed.readable = true;
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wake.resolve();
  }

  async #waitForWork(maxMs: number): Promise<void> {
    let unwatched = false;
    for (const followed of this.#followed.values()) {
      if (followed.readable) return;
      unwatched ||= isUnwatched(followed);
    }
    if (!this.#closing) await this.#woken(unwatched ? Math.min(maxMs, UNWATCHED_INTERVAL_MS) : maxMs);
  }

  async #woken(maxMs: number): Promise<void> {
    this.#wake = Promise.withResolvers<void>();
    const timeout = new AbortController();
    await Promise.race([
      this.#wake.promise,
      this.deps.clock.sleep(Math.max(maxMs, 1), timeout.signal).catch(() => {}),
    ]);
    timeout.abort();
  }
}

function isUnwatched(followed: Followed): boolean {
  return !followed.removed && !followed.watcher;
}
