import { createHash } from 'node:crypto';
import path from 'node:path';
import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import { readFileIfExists, writeFileDurably } from '#libs/host';

/** Ids of one owner: as many as a 16-bit uid space, which is what images assume. */
export const RANGE_SIZE = 65_536;
/** The windows lie above what distributions hand out in /etc/subuid and below 2³¹, where signed ids would begin. */
const FIRST_ID = 2 ** 28;
const RANGES_PER_WINDOW = 2048;
const WINDOWS = 14;

const Allotments = z.record(
  z.string(),
  z
    .int()
    .min(0)
    .max(RANGES_PER_WINDOW - 1),
);

/** First id of the installation's window; two installations rarely share one, and even then share no folder. */
export function windowStart(installationId: string): number {
  const hash = createHash('sha256').update(`id ranges of ${installationId}`).digest().readUInt32BE(0);
  return FIRST_ID + (hash % WINDOWS) * RANGES_PER_WINDOW * RANGE_SIZE;
}

/** Which owner has which range of host ids; kept in one file, written before a range is handed out. */
export class IdRanges {
  readonly #file: string;
  /** First id of the window; of no owner but the first to be allotted. */
  readonly windowStart: number;
  #indexes = new Map<string, number>();
  #written: Promise<void> = Promise.resolve();

  private constructor(file: string, installationId: string) {
    this.#file = file;
    this.windowStart = windowStart(installationId);
  }

  static async open(root: string, installationId: string): Promise<IdRanges> {
    const ranges = new IdRanges(path.join(root, 'id-ranges.json'), installationId);
    const text = await readFileIfExists(ranges.#file);
    if (text !== undefined) ranges.#indexes = new Map(Object.entries(Allotments.parse(JSON.parse(text))));
    return ranges;
  }

  /** First host id of the owner's range. Throws `limit_exceeded` when all are allotted. */
  async allot(ownerId: string): Promise<number> {
    const known = this.#indexes.get(ownerId);
    if (known !== undefined) {
      await this.#written;
      return this.windowStart + known * RANGE_SIZE;
    }
    const taken = new Set(this.#indexes.values());
    const free = Array.from({ length: RANGES_PER_WINDOW }, (_, index) => index).find((i) => !taken.has(i));
    if (free === undefined) {
      throw new PlatformError(
        'limit_exceeded',
        `all ${RANGES_PER_WINDOW} id ranges of this node are allotted`,
        {
          hint: 'remove apps that are no longer needed from this node, or add a node',
        },
      );
    }
    this.#indexes.set(ownerId, free);
    await this.#save();
    return this.windowStart + free * RANGE_SIZE;
  }

  async release(ownerId: string): Promise<void> {
    if (this.#indexes.delete(ownerId)) await this.#save();
  }

  /** One write after the other, so that the last state is what stays on disk. */
  #save(): Promise<void> {
    const write = () => writeFileDurably(this.#file, JSON.stringify(Object.fromEntries(this.#indexes)));
    this.#written = this.#written.then(write, write);
    return this.#written;
  }
}
