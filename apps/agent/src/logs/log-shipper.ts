import { type InstanceLogBatch, nodeEndpoints } from '#libs/contract';
import { errorMessage } from '#libs/errors';
import type { Clock } from '#libs/host';
import type { Logger } from '#libs/log';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { FollowedLog, type LoggedContainer } from './followed-log.ts';
import type { LogPosition } from './log-file.ts';
import type { LogOffsets } from './log-offsets.ts';

const MAX_BATCH_ENTRIES = 1_000;
const MAX_BATCH_BYTES = 256 * 1024;
const MAX_BATCHES = 100;
/** What one container may fill of a batch, so that one that never stops talking starves nobody. */
const MAX_CHUNK_ENTRIES = 500;
/**
 * Between two posts, unless somebody waits for a container's last lines. With the batch's size this bounds what a node
 * sends: 10,000 lines a second, however much is written; what does not fit stays in the files until they rotate.
 */
const POST_INTERVAL_MS = 100;
/** Should a change notice get lost, the files are looked at anyway. */
const LOOK_INTERVAL_MS = 2_000;
const UNWATCHED_INTERVAL_MS = 100;
const CLOSE_TIMEOUT_MS = 1_000;
const RETRY_INTERVAL_MS = 1_000;
/** Logs of removed containers that still wait for the control plane, kept open; the oldest are given up. */
const MAX_ORPHANS = 200;
const ORPHAN = 'removed:';

export interface LogShipperDeps {
  controlPlane: Pick<ControlPlane, 'callUntilAnswered' | 'away'>;
  offsets: LogOffsets;
  clock: Clock;
  log: Logger;
}

interface Chunk {
  followed: FollowedLog;
  resumeAt: LogPosition;
  entries: InstanceLogBatch['entries'];
}

/**
 * Sends containers' log lines to the control plane, at least once. The files are the buffer: at most one batch is in
 * memory, however long the control plane is away.
 */
export class LogShipper {
  /** By container id; those of removed containers under a key of their own, since the id may come again. */
  readonly #followed = new Map<string, FollowedLog>();
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
    if (this.#followed.has(container.containerId) || this.#closing) return;
    const followed = new FollowedLog(container, resume, () => this.#wake.resolve());
    followed.lookAgain();
    this.#followed.set(container.containerId, followed);
    this.#wake.resolve();
  }

  /** Adds a line of the platform's own to an instance's log. */
  note(containerId: string, text: string, atMs = this.deps.clock.now()): void {
    const followed = this.#followed.get(containerId);
    followed?.source.note(text, atMs);
    followed?.markReadable();
  }

  /** Adds a line that comes after everything the process has written. */
  noteEnd(containerId: string, text: string, atMs = this.deps.clock.now()): void {
    const followed = this.#followed.get(containerId);
    followed?.source.noteEnd(text, atMs);
    followed?.markReadable();
  }

  /**
   * The process has ended: sends the rest of its log and returns when it has arrived, or after `timeoutMs`. Waits once
   * only, and not at all while the control plane is away: nobody could read the lines there.
   */
  async drain(containerId: string, timeoutMs: number): Promise<void> {
    const followed = this.#followed.get(containerId);
    if (!followed) return;
    followed.source.end();
    followed.markReadable();
    if (followed.waited || this.deps.controlPlane.away) return;
    followed.waited = true;
    followed.drained ??= Promise.withResolvers<void>();
    this.#urgent = true;
    const timeout = new AbortController();
    const late = this.deps.clock.sleep(timeoutMs, timeout.signal).catch(() => {});
    await Promise.race([followed.drained.promise, late]);
    timeout.abort();
  }

  /** The container is about to be removed: its file, kept open, is still sent to its end. */
  async release(containerId: string): Promise<void> {
    const followed = this.#followed.get(containerId);
    if (!followed) return;
    await followed.detach();
    this.#followed.delete(containerId);
    const orphans = [...this.#followed.keys()].filter((key) => key.startsWith(ORPHAN));
    if (orphans.length >= MAX_ORPHANS && orphans[0]) await this.#letGo(orphans[0]);
    this.#followed.set(`${ORPHAN}${containerId}:${this.deps.clock.now()}`, followed);
    followed.markReadable();
    await this.deps.offsets.remove(containerId);
  }

  /** Lets go of everything; a batch on its way is given a moment to arrive, so that it is not sent twice. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#wake.resolve();
    const timer = setTimeout(() => this.#stop.abort(), this.deps.controlPlane.away ? 0 : CLOSE_TIMEOUT_MS);
    await this.#done;
    clearTimeout(timer);
    for (const key of [...this.#followed.keys()]) await this.#letGo(key);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let lookedMs = this.deps.clock.now();
    while (!this.#closing) {
      await this.#waitForWork(lookedMs + LOOK_INTERVAL_MS - this.deps.clock.now());
      if (this.#closing) return;
      const due = this.deps.clock.now() - lookedMs >= LOOK_INTERVAL_MS;
      if (due) lookedMs = this.deps.clock.now();
      for (const followed of this.#followed.values()) if (due || followed.unwatched) followed.lookAgain();
      try {
        if (await this.#sendOneBatch(signal)) await this.#pause();
      } catch (error) {
        if (signal.aborted) return;
        this.deps.log.error({ err: error }, 'cannot send instance logs; trying again');
        await this.deps.clock.sleep(RETRY_INTERVAL_MS, signal);
      }
    }
  }

  async #sendOneBatch(signal: AbortSignal): Promise<boolean> {
    const chunks = await this.#collect();
    const full = chunks.filter(({ entries }) => entries.length > 0);
    if (full.length > 0) await this.#post(full, signal);
    for (const chunk of chunks) await this.#keepOffset(chunk);
    await this.#settle();
    return full.length > 0;
  }

  async #collect(): Promise<Chunk[]> {
    const chunks: Chunk[] = [];
    let room = MAX_BATCH_ENTRIES;
    let bytes = 0;
    for (const [key, followed] of [...this.#followed]) {
      if (room <= 0 || bytes >= MAX_BATCH_BYTES || chunks.length >= MAX_BATCHES) break;
      if (!followed.readable) continue;
      followed.readable = false;
      const chunk = await this.#readChunk(followed, Math.min(room, MAX_CHUNK_ENTRIES));
      if (!chunk) continue;
      followed.readable = true; // there may be more
      room -= chunk.entries.length;
      for (const entry of chunk.entries) bytes += entry.text.length;
      chunks.push({ followed, ...chunk });
      if (this.#followed.get(key) !== followed) continue; // released meanwhile
      // Whoever had a turn goes to the end.
      this.#followed.delete(key);
      this.#followed.set(key, followed);
    }
    return chunks;
  }

  async #readChunk(followed: FollowedLog, maxEntries: number) {
    try {
      return await followed.source.read(maxEntries);
    } catch (error) {
      this.deps.log.warn({ err: error, container: followed.container.containerId }, 'cannot read a log file');
      return undefined;
    }
  }

  async #post(chunks: readonly Chunk[], signal: AbortSignal): Promise<void> {
    const batches = chunks.map(({ followed, entries }) => ({
      instance: followed.source.instanceId,
      entries,
    }));
    try {
      await this.deps.controlPlane.callUntilAnswered(
        nodeEndpoints.instanceLogs,
        { body: { batches } },
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      // Refused for good. One bad line must neither hold up everybody's, nor take them down with it.
      if (chunks.length > 1) for (const chunk of chunks) await this.#post([chunk], signal);
      else this.deps.log.warn({ reason: errorMessage(error) }, 'log lines were refused; dropped');
    }
  }

  async #keepOffset({ followed, resumeAt }: Chunk): Promise<void> {
    if (followed.removed) return;
    const { containerId, createdAtMs } = followed.container;
    try {
      await this.deps.offsets.write(containerId, createdAtMs, resumeAt);
    } catch (error) {
      // A full disk, say: the lines have arrived all the same, and come twice only if the agent ends now.
      this.deps.log.warn({ reason: errorMessage(error), container: containerId }, 'cannot keep a log offset');
    }
  }

  /** Answers those who wait for logs that have nothing more to give. */
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
    await followed?.close();
  }

  /** Waits until the next post is due, or somebody is in a hurry. */
  async #pause(): Promise<void> {
    const until = this.deps.clock.now() + POST_INTERVAL_MS;
    while (!this.#urgent && !this.#closing && this.deps.clock.now() < until) {
      await this.#woken(until - this.deps.clock.now());
    }
  }

  async #waitForWork(maxMs: number): Promise<void> {
    let unwatched = false;
    for (const followed of this.#followed.values()) {
      if (followed.readable) return;
      unwatched ||= followed.unwatched;
    }
    if (!this.#closing) await this.#woken(unwatched ? Math.min(maxMs, UNWATCHED_INTERVAL_MS) : maxMs);
  }

  async #woken(maxMs: number): Promise<void> {
    this.#wake = Promise.withResolvers<void>();
    const timer = new AbortController();
    const late = this.deps.clock.sleep(Math.max(maxMs, 1), timer.signal).catch(() => {});
    await Promise.race([this.#wake.promise, late]);
    timer.abort();
  }
}
