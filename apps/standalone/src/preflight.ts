import { constants } from 'node:fs';
import { access, mkdir, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { errorMessage, isSystemError, PlatformError } from '#libs/errors';
import { type Layout, longestSocketPath } from './layout.ts';

/** sockaddr_un.sun_path without its final NUL (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;
const NEEDED_CONTROLLERS = ['cpu', 'memory', 'pids'];

/** Throws `forbidden` for anybody but root. */
export function checkRoot(verb: string): void {
  if (process.getuid?.() === 0) return;
  throw new PlatformError('forbidden', `gantry ${verb} must run as root: it makes containers and networks`, {
    hint: `Try: sudo gantry ${verb}`,
  });
}

/**
 * The data folder's own path, without symbolic links; the last parts need not exist yet. Processes and mounts are
 * later recognised by it.
 */
export async function canonicalPath(folder: string): Promise<string> {
  try {
    return await realpath(folder);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw unusable(folder, errorMessage(error), error);
    return path.join(await canonicalPath(path.dirname(folder)), path.basename(folder));
  }
}

/** Makes the data folder, or checks that it is one of ours that all parts can use. Throws `invalid_input`. */
export async function prepareDataDir(layout: Layout): Promise<void> {
  const { dataDir } = layout;
  const longest = longestSocketPath(layout);
  if (Buffer.byteLength(longest) > MAX_SOCKET_PATH_BYTES) {
    const most = MAX_SOCKET_PATH_BYTES - Buffer.byteLength(longest) + Buffer.byteLength(dataDir);
    throw unusable(dataDir, `its path is too long for the unix sockets inside (at most ${most} bytes)`);
  }
  try {
    await makeFolder(dataDir);
    await access(dataDir, constants.W_OK);
    await checkIsOurs(layout);
    await checkTraversable(dataDir);
    for (const folder of [layout.runDir, layout.logsDir, layout.routerDir]) {
      await mkdir(folder, { recursive: true, mode: 0o711 });
    }
  } catch (error) {
    if (error instanceof PlatformError) throw error;
    throw unusable(dataDir, errorMessage(error), error);
  }
}

/** Like mkdir -p; Node's own never ends where the kernel answers ENOENT for a folder it cannot make, as /proc does. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o711 });
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) return;
    if (!isSystemError(error, 'ENOENT') || (await exists(path.dirname(folder)))) throw error;
    await makeFolder(path.dirname(folder));
    await makeFolder(folder);
  }
}

async function exists(folder: string): Promise<boolean> {
  return stat(folder).then(
    () => true,
    () => false,
  );
}

async function checkIsOurs(layout: Layout): Promise<void> {
  const names = (await readdir(layout.dataDir)).filter((name) => name !== 'lost+found');
  const ours = [layout.installationFile, layout.secretsFile, layout.runDir, layout.logsDir].map((file) =>
    path.basename(file),
  );
  if (names.length === 0 || names.some((name) => ours.includes(name))) return;
  throw unusable(layout.dataDir, 'it holds files that are not of a Gantry platform');
}

/** PostgreSQL, Redis and containers run as other users, who must be able to pass through each parent. */
async function checkTraversable(folder: string): Promise<void> {
  for (let current = folder; ; current = path.dirname(current)) {
    if (((await stat(current)).mode & 0o001) === 0) {
      throw unusable(
        folder,
        `users other than its owner cannot pass through ${current}`,
        undefined,
        `chmod o+x ${current}`,
      );
    }
    if (current === path.dirname(current)) return;
  }
}

function unusable(dataDir: string, problem: string, cause?: unknown, remedy?: string): PlatformError {
  return new PlatformError('invalid_input', `cannot use ${dataDir} as the data folder: ${problem}`, {
    cause,
    hint: remedy
      ? `Run \`${remedy}\`, or name another folder with --data DIR.`
      : 'Name another folder with --data DIR.',
  });
}

/** Throws `conflict` when a TCP port is taken, naming the option that changes it. */
export async function checkPortFree(address: string, port: number, option: string): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address, port, exclusive: true }, resolve);
    });
  } catch (error) {
    if (isSystemError(error, 'EADDRINUSE')) throw portTaken(address, port, option);
    throw new PlatformError(
      'invalid_input',
      `cannot listen on port ${port} of ${address}: ${errorMessage(error)}`,
      {
        cause: error,
        hint: `Choose another one with ${option} N.`,
      },
    );
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

export function portTaken(address: string, port: number, option: string): PlatformError {
  return new PlatformError('conflict', `port ${port} on ${address} is in use by another program`, {
    hint: `Stop it (\`ss -ltnp sport = :${port}\` names it), or choose another port with ${option} N.`,
  });
}

/** Throws `unsupported` when the kernel offers no limits for containers: cgroup v1, v2 and both at once will do. */
export async function checkCgroups(): Promise<void> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const found = new Set<string>();
  for (const line of mounts) {
    const [before, after] = line.split(' - ');
    const mountPoint = before?.split(' ')[4];
    const [type, , options] = after?.split(' ') ?? [];
    if (type === 'cgroup') for (const name of options?.split(',') ?? []) found.add(name);
    if (type === 'cgroup2' && mountPoint) {
      const controllers = await readFile(path.join(mountPoint, 'cgroup.controllers'), 'utf8').catch(() => '');
      for (const name of controllers.trim().split(' ')) found.add(name);
    }
  }
  const missing = NEEDED_CONTROLLERS.filter((name) => !found.has(name));
  if (missing.length === 0) return;
  throw new PlatformError('unsupported', `this machine has no cgroup controller for ${missing.join(', ')}`, {
    hint: 'Mount /sys/fs/cgroup with them; a container or a chroot needs the host to pass them in.',
  });
}
