import { constants } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { isSystemError, PlatformError } from '#libs/errors';

/**
 * Reading in folders that strangers wrote and that nobody writes to any more (their container is gone). No link is
 * followed: every part of the path below `root` must be a folder, and the last a plain file.
 */
export async function readTextInside(
  root: string,
  relative: string,
  maxBytes: number,
): Promise<string | undefined> {
  const folder = path.dirname(relative);
  if (folder !== '.' && !(await isFolderInside(root, folder))) return undefined;
  const file = path.join(root, relative);
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ELOOP', 'ENXIO')) return undefined;
    throw error;
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) return undefined;
    if (stat.size > maxBytes) {
      throw new PlatformError(
        'build_failed',
        `${relative} has ${stat.size} bytes; at most ${maxBytes} are read`,
      );
    }
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** Whether `relative` is a folder reached through folders only. */
export async function isFolderInside(root: string, relative: string): Promise<boolean> {
  let current = root;
  for (const part of relative.split('/')) {
    if (part === '' || part === '.' || part === '..') return false;
    current = path.join(current, part);
    try {
      if (!(await lstat(current)).isDirectory()) return false;
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return false;
      throw error;
    }
  }
  return true;
}

/** Names in a folder, sorted; none when it is no folder. Above `max`: `build_failed`. */
export async function listInside(root: string, relative: string, max: number): Promise<string[]> {
  if (relative !== '' && !(await isFolderInside(root, relative))) return [];
  const names = await readdir(path.join(root, relative));
  if (names.length > max)
    throw new PlatformError('build_failed', `${relative || root} holds more than ${max} entries`);
  return names.sort();
}
