import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { isSystemError } from '#libs/errors';
import { identifyProcess, type ProcessIdentity } from './process-identity.ts';

/**
 * conmon processes whose container's name is `name`, or begins with it when it ends in a dash. Only programs that are
 * conmon by their file count: what a container writes in its own command line is its own affair.
 */
export async function findMonitors(name: string, bootId: string): Promise<ProcessIdentity[]> {
  const found: ProcessIdentity[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const words = (await readFile(`/proc/${entry}/cmdline`, 'utf8')).split('\0');
      const container = words[words.indexOf('--cid') + 1] ?? '';
      if (!words.includes('--cid') || !(name.endsWith('-') ? container.startsWith(name) : container === name))
        continue;
      const program = path.basename(await readlink(`/proc/${entry}/exe`)).replace(/ \(deleted\)$/, '');
      const identity = program === 'conmon' ? identifyProcess(Number(entry), bootId) : undefined;
      if (identity) found.push(identity);
    } catch (error) {
      if (!isSystemError(error, 'ENOENT', 'ESRCH', 'EACCES')) throw error;
    }
  }
  return found;
}
