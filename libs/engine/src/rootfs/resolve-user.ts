import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { PlatformError } from '#libs/errors';
import { RANGE_SIZE } from '../id-ranges.ts';
import { openInRoot } from '../kernel/libc.ts';

/** An image's passwd or group file is read up to here. */
const MAX_FILE_BYTES = 1 << 20;
const MAX_SUPPLEMENTARY_GROUPS = 64;

export interface ResolvedUser {
  uid: number;
  gid: number;
  additionalGids: number[];
  home: string;
}

/** A text file of the image; empty when there is none. The runtime reads it too, and would wait at a pipe without end. */
function readImageFile(rootFd: number, file: string): string {
  const fd = openInRoot(rootFd, file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  if (fd === undefined) return '';
  try {
    if (!fstatSync(fd).isFile()) {
      throw new PlatformError('invalid_input', `the image’s /${file} is not a file`, {
        hint: 'rebuild the image with a plain file there, or none',
      });
    }
    const buffer = Buffer.alloc(MAX_FILE_BYTES);
    return buffer.toString('utf8', 0, readSync(fd, buffer, 0, MAX_FILE_BYTES, 0));
  } finally {
    closeSync(fd);
  }
}

const rows = (text: string) => text.split('\n').map((line) => line.trim().split(':'));

/** An id from a row of the image's files; undefined when it is none that a container can have. */
function rowId(text: string | undefined): number | undefined {
  const id = /^\d{1,10}$/.test(text ?? '') ? Number(text) : RANGE_SIZE;
  return id < RANGE_SIZE ? id : undefined;
}

/** An id that the caller wrote as a number; undefined for a name. */
function wantedId(text: string): number | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const id = Number(text);
  if (id < RANGE_SIZE) return id;
  throw new PlatformError('invalid_input', `the user or group id ${text} is above ${RANGE_SIZE - 1}`, {
    hint: 'use an id from 0 to 65535',
  });
}

/**
 * Resolves `user[:group]` (OCI image spec, config.md, `User`) from the texts of passwd(5) and group(5). A number needs
 * no row; a name does, else `invalid_input`. Supplementary groups only count when no group is named.
 */
export function resolveUserIn(passwd: string, group: string, user: string): ResolvedUser {
  const [userPart = '', groupPart] = (user || '0').split(':');
  const wantedUid = wantedId(userPart);
  const row = rows(passwd).find((fields) =>
    wantedUid === undefined ? fields[0] === userPart : Number(fields[2]) === wantedUid && fields.length >= 4,
  );
  const uid = wantedUid ?? rowId(row?.[2]);
  if (uid === undefined) {
    throw new PlatformError('invalid_input', `the image has no user ${JSON.stringify(userPart)}`, {
      hint: 'name a user of the image’s /etc/passwd, or use a number',
    });
  }
  const home = row?.[5]?.startsWith('/') ? row[5] : '/';
  if (groupPart !== undefined && groupPart !== '') {
    const groupRow = rows(group).find((fields) => fields[0] === groupPart);
    const gid = wantedId(groupPart) ?? rowId(groupRow?.[2]);
    if (gid === undefined) {
      throw new PlatformError('invalid_input', `the image has no group ${JSON.stringify(groupPart)}`, {
        hint: 'name a group of the image’s /etc/group, or use a number',
      });
    }
    return { uid, gid, additionalGids: [], home };
  }
  const gid = rowId(row?.[3]) ?? 0;
  const name = row?.[0];
  const additionalGids = rows(group)
    .filter((fields) => name !== undefined && (fields[3] ?? '').split(',').includes(name))
    .flatMap((fields) => rowId(fields[2]) ?? [])
    .slice(0, MAX_SUPPLEMENTARY_GROUPS);
  return { uid, gid, additionalGids, home };
}

/** As `resolveUserIn`, from the files of a mounted rootfs, never following a link out of it. */
export function resolveUser(rootfs: string, user: string): ResolvedUser {
  const rootFd = openSync(rootfs, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return resolveUserIn(readImageFile(rootFd, 'etc/passwd'), readImageFile(rootFd, 'etc/group'), user);
  } finally {
    closeSync(rootFd);
  }
}
