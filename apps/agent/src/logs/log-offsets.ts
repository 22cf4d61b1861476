import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { readFileIfExists } from '#libs/host';
import type { LogPosition } from './log-file.ts';

const Stored = z.object({
  /** Tells two containers of the same id apart. */
  createdAtMs: z.number(),
  inode: z.number(),
  offset: z.number().nonnegative(),
});

/**
 * How far each container's log has been sent: `<folder>/<container id>.json`. Written without fsync on purpose: it
 * survives any end of the agent; should the machine crash, lines are sent again, never lost.
 */
export class LogOffsets {
  constructor(private readonly folder: string) {}

  /** Makes the folder and drops the files of containers that are gone. */
  async open(containerIds: ReadonlySet<string>): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.folder)) {
      if (!containerIds.has(name.replace(/\.json$/, '')))
        await rm(path.join(this.folder, name), { force: true });
    }
  }

  async read(containerId: string, createdAtMs: number): Promise<LogPosition | undefined> {
    try {
      const stored = Stored.parse(JSON.parse((await readFileIfExists(this.#file(containerId))) ?? ''));
      return stored.createdAtMs === createdAtMs ? stored : undefined;
    } catch {
      return undefined;
    }
  }

  async write(containerId: string, createdAtMs: number, position: LogPosition): Promise<void> {
    const file = this.#file(containerId);
    await writeFile(`${file}.tmp`, JSON.stringify({ createdAtMs, ...position }), { mode: 0o600 });
    await rename(`${file}.tmp`, file);
  }

  async remove(containerId: string): Promise<void> {
    await rm(this.#file(containerId), { force: true });
  }

  #file(containerId: string): string {
    return path.join(this.folder, `${containerId}.json`);
  }
}
