import { type FSWatcher, watch } from 'node:fs';
import type { LogPosition } from './log-file.ts';
import { LogSource } from './log-source.ts';

export interface LoggedContainer {
  containerId: string;
  instanceId: string;
  createdAtMs: number;
  logFile: string;
}

/** A container's log on its way to the control plane, and what is known of its file. */
export class FollowedLog {
  readonly source: LogSource;
  /** May hold unread entries. */
  readable = true;
  /** The container is gone; what is read to its end is let go of. */
  removed = false;
  /** Somebody has already waited for the last lines. */
  waited = false;
  /** Somebody waits for the last lines. */
  drained: PromiseWithResolvers<void> | undefined;
  #watcher: FSWatcher | undefined;

  constructor(
    readonly container: LoggedContainer,
    resume: LogPosition | undefined,
    private readonly onReadable: () => void,
  ) {
    this.source = new LogSource(container.instanceId, container.logFile, resume);
  }

  /** True when changes of the file would go unnoticed: it is not there yet, or was just replaced. */
  get unwatched(): boolean {
    return !this.removed && !this.#watcher;
  }

  markReadable(): void {
    this.readable = true;
    this.onReadable();
  }

  /** Takes another look at the file, and watches it if it can be. */
  lookAgain(): void {
    this.readable = true;
    if (this.unwatched) this.#watch();
  }

  /** The container is about to be removed: its file stays readable, deleted or not. */
  async detach(): Promise<void> {
    await this.source.keepOpen();
    this.source.end();
    this.removed = true;
    this.#unwatch();
  }

  async close(): Promise<void> {
    this.#unwatch();
    this.drained?.resolve();
    this.drained = undefined;
    await this.source.close();
  }

  #watch(): void {
    try {
      this.#watcher = watch(this.container.logFile, (event) => {
        if (event === 'rename') this.#unwatch(); // replaced or deleted; the next look watches the new one
        this.markReadable();
      });
      this.#watcher.on('error', () => this.#unwatch());
    } catch {
      this.#watcher = undefined; // not there yet
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
