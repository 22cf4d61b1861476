import { type FSWatcher, watch } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { isSystemError } from '#libs/errors';

export interface ExitFile {
  code: number;
  atMs: number;
}

/** Reads an exit file of conmon; undefined while it is missing, empty or not a number. */
export async function readExitFile(folder: string, runtimeId: string): Promise<ExitFile | undefined> {
  const file = path.join(folder, runtimeId);
  try {
    const text = (await readFile(file, 'utf8')).trim();
    if (!/^\d{1,3}$/.test(text)) return undefined;
    return { code: Number(text), atMs: Math.round((await stat(file)).mtimeMs) };
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Tells the names of files that appear in the folder where conmon writes exit codes. Made before any container starts. */
export class ExitWatch {
  readonly #watcher: FSWatcher;

  constructor(
    private readonly folder: string,
    private readonly onFile: (runtimeId: string) => void,
    onError: (error: Error) => void,
  ) {
    this.#watcher = watch(folder, (_event, name) => {
      // conmon writes beside and renames; the name is null when the queue of events has overflowed.
      if (name === null) void this.scan().catch(onError);
      else onFile(name);
    });
    this.#watcher.on('error', onError);
  }

  /** Tells all files that are there, for what happened before the watch or was missed by it. */
  async scan(): Promise<void> {
    for (const name of await readdir(this.folder)) this.onFile(name);
  }

  close(): void {
    this.#watcher.close();
  }
}
