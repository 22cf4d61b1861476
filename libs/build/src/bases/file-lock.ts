import { once } from 'node:events';
import { PlatformError } from '#libs/errors';
import type { Exec } from '#libs/host';

/**
 * Runs `work` while holding an exclusive flock(2) on `file`, waiting for another process's turn to end. The lock is
 * held by a `flock` child that ends with our end of its pipe, so it is let go even when this process is killed.
 */
export async function withFileLock<T>(
  exec: Exec,
  file: string,
  work: () => Promise<T>,
  onWait?: () => void,
): Promise<T> {
  const holder = exec.spawn('flock', ['--exclusive', file, 'cat'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const { stdin, stdout } = holder;
  if (!stdin || !stdout) throw new PlatformError('internal', `cannot talk to flock for ${file}`);
  const closed = once(holder, 'close');
  const waiting = setTimeout(() => onWait?.(), 500);
  try {
    stdin.on('error', () => {}); // told by `closed`
    stdin.write('locked\n');
    const lost = closed.then(() => Promise.reject(new PlatformError('internal', `flock on ${file} failed`)));
    await Promise.race([once(stdout, 'data'), lost]);
    lost.catch(() => {});
    clearTimeout(waiting);
    return await work();
  } finally {
    clearTimeout(waiting);
    stdin.end();
    await closed.catch(() => {});
  }
}
