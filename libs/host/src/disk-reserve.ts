import { statfs } from 'node:fs/promises';
import { PlatformError } from '#libs/errors';

const MIB = 2 ** 20;
const MIN_RESERVE_BYTES = 256 * MIB;
const MAX_RESERVE_BYTES = 2048 * MIB;
const RESERVE_SHARE = 0.05;
/** The share of all inodes that stays free. */
const INODE_SHARE = 0.05;
/** What may be written between two looks at the disk. */
const LOOK_EVERY_BYTES = 32 * MIB;

export interface DiskSpace {
  totalBytes: number;
  freeBytes: number;
  /** 0 on file systems that know no such number. */
  totalInodes: number;
  freeInodes: number;
}

/** The room on the file system that `folder` is on, as an ordinary user sees it. */
export async function diskSpace(folder: string): Promise<DiskSpace> {
  const { blocks, bavail, bsize, files, ffree } = await statfs(folder);
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize, totalInodes: files, freeInodes: ffree };
}

/** Whether only the part is left that the platform itself needs to go on: its database, logs and clean-ups. */
export function isDiskLow({ totalBytes, freeBytes, totalInodes, freeInodes }: DiskSpace): boolean {
  const reserve = Math.min(MAX_RESERVE_BYTES, Math.max(MIN_RESERVE_BYTES, totalBytes * RESERVE_SHARE));
  return freeBytes < reserve || (totalInodes > 0 && freeInodes < totalInodes * INODE_SHARE);
}

/** Keeps what strangers send from filling the disk under `folder`, which exists. One for each thing being written. */
export class DiskReserve {
  #untilLook = 0;

  constructor(private readonly folder: string) {}

  /** To be called before `bytes` are written. Throws `unavailable` when the disk is too full for them. */
  async spend(bytes: number): Promise<void> {
    this.#untilLook -= bytes;
    if (this.#untilLook > 0) return;
    this.#untilLook = LOOK_EVERY_BYTES;
    if (!isDiskLow(await diskSpace(this.folder))) return;
    throw new PlatformError(
      'unavailable',
      'the disk is almost full: what is left is kept for the platform itself',
      {
        hint: 'Ask the operator to free space, then try again.',
      },
    );
  }
}
