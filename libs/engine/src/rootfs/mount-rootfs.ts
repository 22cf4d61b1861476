import { closeSync, constants, type Dirent, openSync } from 'node:fs';
import { chown, lstat, mkdir, readdir, rmdir, unlink } from 'node:fs/promises';
import path from 'node:path';
import { isSystemError, PlatformError } from '#libs/errors';
import type { Exec } from '#libs/host';
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_NODEV,
  MS_NOSUID,
  mount,
  mountTree,
  unmount,
  unmountInThread,
} from '../kernel/libc.ts';

/** What mount(2) takes: one page, with the final NUL. */
const MAX_OPTION_BYTES = 4095;
/** Also the kernel's own limit on lower folders (OVL_MAX_STACK). */
export const MAX_LAYERS = 200;

export interface RootfsRequest {
  /** Marks the mount as this installation's in /proc/self/mountinfo. */
  label: string;
  /** Layer folders, lowest first, owned on disk by host ids 0…65535. */
  layers: string[];
  /** Where lower mounts are made for a moment; the rootfs stays at `rootfs`, which exists. */
  scratch: string;
  rootfs: string;
  upper: string;
  work: string;
  /** First id of the owner's range, and a user namespace that maps to it. */
  firstId: number;
  userNamespaceFd: number;
  nosuid: boolean;
}

/**
 * Mounts an overlay whose lower layers are seen through idmapped mounts, so that no layer is ever chowned or copied.
 * The overlay keeps private clones of the lower mounts, so these are taken down again at once: nothing to count or find
 * again after a restart. Synchronous from the first mount to the last unmount, so that no other task sees them.
 */
export async function mountRootfs(request: RootfsRequest): Promise<void> {
  const { layers, upper, work, firstId, scratch } = request;
  if (layers.length === 0 || layers.length > MAX_LAYERS) {
    throw new PlatformError('limit_exceeded', `a rootfs of ${layers.length} layers cannot be mounted`, {
      hint: `use an image with 1 to ${MAX_LAYERS} layers`,
    });
  }
  for (const folder of [upper, work]) {
    await mkdir(folder, { recursive: true, mode: 0o755 });
    await chown(folder, firstId, firstId);
  }
  const points = layers.map((_, index) => path.join(scratch, `lower-${index}`));
  try {
    for (const point of points) await mkdir(point, { recursive: true, mode: 0o700 });
    mountOverlay(request, points);
  } finally {
    for (const point of points) await rmdir(point).catch(() => {}); // removed with the container at the latest
  }
}

function mountOverlay(request: RootfsRequest, points: string[]): void {
  const mounted: string[] = [];
  const fds: number[] = [];
  const openFolder = (folder: string) => {
    const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    fds.push(fd);
    return `/proc/self/fd/${fd}`;
  };
  try {
    for (const [index, source] of request.layers.entries()) {
      const target = points[index] ?? '';
      const attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | (request.nosuid ? MOUNT_ATTR_NOSUID : 0);
      mountTree({ source, target, attributes, userNamespaceFd: request.userNamespaceFd });
      mounted.push(target);
    }
    // Open folders give each layer a name of some 17 bytes, so that 200 of them fit the page that mount(2) takes.
    const lowers = points.map(openFolder).reverse().join(':');
    // `volatile`: what a container writes beside its volumes ends with it, so nothing of it is worth a flush of the disk,
    // which unmounting would otherwise do. No upper folder is ever mounted again.
    const options = `volatile,lowerdir=${lowers},upperdir=${openFolder(request.upper)},workdir=${openFolder(request.work)}`;
    if (Buffer.byteLength(options) > MAX_OPTION_BYTES) {
      throw new PlatformError('limit_exceeded', `${points.length} layers do not fit one overlay mount`, {
        hint: 'squash the image to fewer layers',
      });
    }
    mount(request.label, request.rootfs, 'overlay', MS_NODEV | (request.nosuid ? MS_NOSUID : 0), options);
  } finally {
    for (const fd of fds) closeSync(fd);
    for (const target of mounted) unmount(target);
  }
}

/**
 * Unmounts whatever is mounted on the entries of `folder` and removes these entries and the folder. Never recursive: a
 * volume that is somehow still mounted makes it fail (EBUSY) rather than lose its files.
 */
export async function removeMountPoints(folder: string): Promise<void> {
  let entries: Dirent[];
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return;
    throw error;
  }
  for (const entry of entries) {
    const point = path.join(folder, entry.name);
    while (await unmountInThread(point)); // once for each mount stacked there by a create that was cut short
    const kind = await lstat(point);
    await (kind.isDirectory() ? rmdir(point) : unlink(point));
  }
  await rmdir(folder);
}

/** Removes a tree that a stranger wrote: with `rm`, which also goes down paths longer than PATH_MAX, on one file system. */
export async function removeTree(exec: Exec, folder: string): Promise<void> {
  await exec.run('rm', ['-rf', '--one-file-system', '--', folder]);
}
