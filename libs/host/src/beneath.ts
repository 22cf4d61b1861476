import path from 'node:path';
import { PlatformError } from '#libs/errors';

/**
 * The absolute path of `relative` under `root`. Throws `invalid_input` when it is absolute, holds a NUL or climbs out.
 * Lexical only: it does not look at symbolic links, so never use it on a tree that strangers write to.
 */
export function beneath(root: string, relative: string): string {
  const resolved = path.resolve(root, relative);
  const inside = resolved === path.resolve(root) || resolved.startsWith(path.resolve(root) + path.sep);
  if (path.isAbsolute(relative) || relative.includes('\0') || !inside) {
    throw new PlatformError('invalid_input', `path ${JSON.stringify(relative)} leaves its folder`);
  }
  return resolved;
}
