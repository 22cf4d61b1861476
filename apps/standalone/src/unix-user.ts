import { chown, stat } from 'node:fs/promises';
import { isSystemError, PlatformError } from '#libs/errors';
import type { Exec } from '#libs/host';

export interface UnixUser {
  uid: number;
  gid: number;
}

/**
 * The user that a service runs as: whoever owns its data already, else the user that Debian's package made for it, else
 * `nobody`. Each has an entry in passwd, which PostgreSQL asks for.
 */
export async function ownerOf(exec: Exec, folder: string, userName: string): Promise<UnixUser> {
  try {
    const { uid, gid } = await stat(folder);
    if (uid !== 0) return { uid, gid };
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
  }
  return (await findUser(exec, userName)) ?? (await findUser(exec, 'nobody')) ?? noUser(userName);
}

export async function giveTo(user: UnixUser, folder: string): Promise<void> {
  await chown(folder, user.uid, user.gid);
}

async function findUser(exec: Exec, name: string): Promise<UnixUser | undefined> {
  const { code, stdout } = await exec.tryRun('getent', ['passwd', name]);
  const [, , uid, gid] = stdout.split(':');
  return code === 0 && uid && gid ? { uid: Number(uid), gid: Number(gid) } : undefined;
}

function noUser(name: string): never {
  throw new PlatformError(
    'not_found',
    `cannot start ${name}: this machine has neither a user ${name} nor nobody`,
  );
}
