import { errorMessage } from '#libs/errors';
import type { Logger } from '#libs/log';

export interface BaseImageSourceDeps<Bases> {
  /** Makes the images, or finds them made. */
  ensure: (onProgress: (line: string) => void) => Promise<Bases>;
  log: Logger;
  /** The agent ends: nobody needs to hear that the making failed. */
  signal: AbortSignal;
}

/**
 * The base images that builds start from: made once a machine, which takes a minute or two, so it begins with the
 * agent and builds that come early wait, seeing the same progress. A failed attempt is repeated by the next build.
 */
export class BaseImageSource<Bases> {
  #making: Promise<Bases> | undefined;
  #made = false;
  readonly #watchers = new Set<(line: string) => void>();

  constructor(private readonly deps: BaseImageSourceDeps<Bases>) {}

  /** Begins in the background. */
  prepare(): void {
    this.#ensure().catch((error: unknown) => {
      if (!this.deps.signal.aborted)
        this.deps.log.warn(
          { reason: errorMessage(error) },
          'cannot make the base images; the next build tries again',
        );
    });
  }

  /** The images, as soon as they are there; meanwhile `onLine` is told why that takes a while. */
  async get(onLine: (line: string) => void, signal: AbortSignal): Promise<Bases> {
    const making = this.#ensure();
    if (this.#made) return await making;
    onLine('Waiting for the base images, which are made once on this machine');
    this.#watchers.add(onLine);
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      signal.throwIfAborted();
      return await Promise.race([making, aborted.promise]);
    } finally {
      this.#watchers.delete(onLine);
      signal.removeEventListener('abort', onAbort);
    }
  }

  #ensure(): Promise<Bases> {
    this.#making ??= this.#make();
    return this.#making;
  }

  async #make(): Promise<Bases> {
    try {
      const bases = await this.deps.ensure((line) => {
        this.deps.log.info({ line }, 'base images');
        for (const tell of this.#watchers) tell(line);
      });
      this.#made = true;
      return bases;
    } catch (error) {
      this.#making = undefined;
      throw error;
    }
  }
}
