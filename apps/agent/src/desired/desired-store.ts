import { rename } from 'node:fs/promises';
import { DesiredState } from '#libs/contract';
import { readFileIfExists, writeFileDurably } from '#libs/host';
import type { Logger } from '#libs/log';

/**
 * The last desired state, durable, so that a node keeps what it should run across restarts and without the control
 * plane. The file holds apps' config: 0600.
 */
export class DesiredStore {
  #state: DesiredState | null = null;
  #fresh = false;

  private constructor(
    private readonly file: string,
    private readonly log: Logger,
  ) {}

  /** Reads what an earlier process kept. A file that cannot be read is put aside: better nothing known than a guess. */
  static async open(file: string, log: Logger): Promise<DesiredStore> {
    const store = new DesiredStore(file, log);
    const text = await readFileIfExists(file);
    if (text === undefined) return store;
    try {
      store.#state = DesiredState.parse(JSON.parse(text));
    } catch (error) {
      log.error(
        { err: error, file },
        'the kept desired state is unreadable; put aside, waiting for the control plane',
      );
      await rename(file, `${file}.unreadable`);
    }
    return store;
  }

  get state(): DesiredState | null {
    return this.#state;
  }

  /** True once the control plane itself has given the state to this process. */
  get fresh(): boolean {
    return this.#fresh;
  }

  /** -1 when none is known. */
  get version(): number {
    return this.#state?.version ?? -1;
  }

  /** Takes over a new state; unless the disk refuses, it is durable when the promise resolves. */
  async replace(state: DesiredState): Promise<void> {
    try {
      await writeFileDurably(this.file, JSON.stringify(state));
    } catch (error) {
      // A full disk must not keep a node from stopping what fills it. An agent that starts again asks anew.
      this.log.error(
        { err: error, file: this.file },
        'cannot keep the desired state on disk; going on with it in memory',
      );
    }
    this.#state = state;
    this.#fresh = true;
  }

  /** The control plane has said that what is here is the newest. */
  confirm(): void {
    this.#fresh = this.#state !== null;
  }
}
