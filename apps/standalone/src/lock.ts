import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import type { Exec } from '#libs/host';

/** An exclusive lock. The kernel gives it back when this process ends, however it ends. */
export interface Lock {
  release(): void;
}

/**
 * Takes the lock of `file`, waiting up to `waitSeconds`; undefined when another process keeps it. The lock (flock(2))
 * belongs to the open file, which this process shares for a moment with the flock(1) that asks for it.
 */
export async function takeLock(exec: Exec, file: string, waitSeconds = 0): Promise<Lock | undefined> {
  const fd = openSync(file, 'a', 0o600);
  const how = waitSeconds > 0 ? ['--timeout', String(waitSeconds)] : ['--nonblock'];
  const child = exec.spawn('flock', ['--exclusive', ...how, '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  const [code] = await once(child, 'exit');
  if (code === 0) return { release: () => closeSync(fd) };
  closeSync(fd);
  return undefined;
}
