import { access, constants, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { isSystemError, PlatformError } from '#libs/errors';
import { readFileIfExists } from '#libs/host';
import type { Login } from './logins.ts';

const AdminFile = z.object({ url: z.url(), token: z.string().min(1) });

const adminFile = (dataDir: string): string => path.join(dataDir, 'admin.json');

/** Whether a platform was ever brought up on this machine with this data folder; readable or not. */
export async function hasLocalPlatform(dataDir: string): Promise<boolean> {
  try {
    await stat(adminFile(dataDir));
    return true;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return false;
    throw error;
  }
}

/** Whether this user could log in at the platform of this machine. */
export async function canLogInLocally(dataDir: string): Promise<boolean> {
  return access(adminFile(dataDir), constants.R_OK).then(
    () => true,
    () => false,
  );
}

/**
 * Address and admin token that `gantry up` left in the data folder.
 * Throws `not_found` (no platform there), `forbidden` (not this user's to read), `invalid_input` (not what `up` writes).
 */
export async function readLocalLogin(dataDir: string): Promise<Login> {
  const file = adminFile(dataDir);
  const text = await readFileIfExists(file).catch((cause: unknown) => {
    if (!isSystemError(cause, 'EACCES', 'EPERM')) throw cause;
    throw new PlatformError('forbidden', `cannot log in with ${file}: only its owner may read it`, {
      cause,
      hint: 'Run this as the user that runs the platform (root), or use `gantry login --url URL` with a token.',
    });
  });
  if (text === undefined) {
    throw new PlatformError('not_found', `there is no platform in ${dataDir}: ${file} does not exist`, {
      hint: 'Start one with `gantry up`, name its folder with --data DIR, or use `gantry login --url URL`.',
    });
  }
  try {
    return AdminFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new PlatformError('invalid_input', `${file} does not hold an address and a token`, {
      cause,
      hint: 'Run `gantry up` again: it writes that file.',
    });
  }
}
