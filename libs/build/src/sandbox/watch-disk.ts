import { statfs } from 'node:fs/promises';
import { PlatformError } from '#libs/errors';
import type { Clock } from '#libs/host';

export interface DiskLimits {
  /** What one build may take, in bytes; judged by the file system's free space, so give or take what others write. */
  maxGrowthBytes: number;
  /** Free space at which a build is stopped, whoever took it. */
  reserveBytes: number;
  /** The same for files: the share of all inodes that must stay free. */
  reserveInodeShare: number;
}

export const DEFAULT_DISK_LIMITS: DiskLimits = {
  maxGrowthBytes: 8 * 2 ** 30,
  reserveBytes: 2 ** 30,
  reserveInodeShare: 0.05,
};

const INTERVAL_MS = 500;

/** Rejects with `build_failed` once the build under `folder` has filled too much of the disk; ends quietly when aborted. */
export async function watchDisk(
  folder: string,
  limits: DiskLimits,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const before = await statfs(folder);
  const freeBefore = before.bavail * before.bsize;
  while (!signal.aborted) {
    const now = await statfs(folder);
    const free = now.bavail * now.bsize;
    if (freeBefore - free > limits.maxGrowthBytes) {
      throw new PlatformError(
        'build_failed',
        `the build wrote more than ${limits.maxGrowthBytes >> 20} MiB`,
        {
          hint: 'Does it download or generate files without end?',
        },
      );
    }
    if (free < limits.reserveBytes || (now.files > 0 && now.ffree < now.files * limits.reserveInodeShare)) {
      throw new PlatformError('build_failed', 'the build was stopped: the disk of this node is almost full', {
        hint: 'Ask the operator to free space.',
      });
    }
    await clock.sleep(INTERVAL_MS, signal).catch(() => {});
  }
}
