import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { PlatformError } from '#libs/errors';

/** Looked through instead of PATH, which a service or a user's shell may have without the sbin folders. */
const PROGRAM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Absolute path of a program of this machine; undefined when it is not installed. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of PROGRAM_FOLDERS) {
    const file = path.join(folder, name);
    try {
      await access(file, constants.X_OK);
      return file;
    } catch {
      // look in the next one
    }
  }
  return undefined;
}

/** Path of a program that the engine cannot do without; throws `unsupported` with the package to install. */
export async function requireProgram(name: string, debianPackage: string): Promise<string> {
  const file = await findProgram(name);
  if (file) return file;
  throw new PlatformError('unsupported', `the container engine needs ${name}, which is not installed`, {
    hint: `apt-get install ${debianPackage}`,
  });
}
