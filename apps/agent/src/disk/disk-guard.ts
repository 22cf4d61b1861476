import type { Engine } from '#libs/engine';
import { errorMessage, PlatformError } from '#libs/errors';
import { type Clock, type DiskSpace, isDiskLow } from '#libs/host';
import type { Logger } from '#libs/log';

const LOOK_INTERVAL_MS = 1_000;
/** After a kill its files have to go first; and when nobody is to blame, looking harder does not help. */
const PAUSE_MS = 10_000;
/** Who wrote less than this share of the disk is not why it is full. */
const MIN_BLAMED_SHARE = 0.001;

export interface DiskGuardDeps {
  engine: Pick<Engine, 'list' | 'measure'>;
  space: () => Promise<DiskSpace>;
  /** Ends an instance's process; what it wrote beside its volumes goes with it. */
  kill: (containerId: string, reason: string) => Promise<void>;
  clock: Clock;
  log: Logger;
}

/**
 * Keeps instances from filling the node's disk with what they write outside their volumes: once the disk is almost full,
 * the instance that wrote most is ended. It starts again, after a pause, with none of it.
 */
export class DiskGuard {
  constructor(private readonly deps: DiskGuardDeps) {}

  /** Looks now and then until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.deps;
    while (!signal.aborted) {
      const found = await this.look().catch((error: unknown) => {
        log.warn({ reason: errorMessage(error) }, 'cannot look after the disk');
        return 'low' as const;
      });
      await clock.sleep(found === 'enough' ? LOOK_INTERVAL_MS : PAUSE_MS, signal).catch(() => {});
    }
  }

  async look(): Promise<'enough' | 'low'> {
    const space = await this.deps.space();
    if (!isDiskLow(space)) return 'enough';
    const { freeBytes, freeInodes } = space;
    const worst = await this.#worst(space);
    if (!worst) {
      this.deps.log.error({ freeBytes, freeInodes }, 'the disk is almost full, and no instance is to blame');
      return 'low';
    }
    this.deps.log.warn(
      { ...worst, freeBytes, freeInodes },
      'the disk is almost full: ending what wrote most',
    );
    const reason = `The node's disk is almost full, and this instance has written ${worst.what} outside of volumes`;
    await this.deps.kill(worst.container, reason);
    return 'low';
  }

  async #worst(space: DiskSpace): Promise<{ container: string; what: string } | undefined> {
    let worst: { container: string; what: string; share: number } | undefined;
    for (const { spec, status } of this.deps.engine.list()) {
      if (spec.profile !== 'instance' || status !== 'running') continue;
      const { share, what } = await this.#share(spec.id, space);
      if (share > (worst?.share ?? MIN_BLAMED_SHARE)) worst = { container: spec.id, what, share };
    }
    return worst && { container: worst.container, what: worst.what };
  }

  /** How much of the disk is one container's: of its bytes or of its files, whichever is more. */
  async #share(id: string, { totalBytes, totalInodes }: DiskSpace): Promise<{ share: number; what: string }> {
    try {
      const { bytes, files } = await this.deps.engine.measure(id);
      const ofFiles = totalInodes > 0 ? files / totalInodes : 0;
      if (ofFiles > bytes / totalBytes) return { share: ofFiles, what: `${files} files` };
      return { share: bytes / totalBytes, what: `${Math.floor(bytes / 2 ** 20)} MiB` };
    } catch (error) {
      const isEndless = error instanceof PlatformError && error.code === 'timeout';
      return isEndless ? { share: 1, what: 'more files than can be counted' } : { share: 0, what: '' }; // it is gone
    }
  }
}
