import type { Clock } from '#libs/host';
import { endProcess, findProcess, forgetProcess } from './process-identity.ts';

/** In the order in which `stop` ends them too. */
const CHILDREN: readonly { name: string; signal: NodeJS.Signals; timeoutMs: number }[] = [
  { name: 'router', signal: 'SIGTERM', timeoutMs: 10_000 },
  { name: 'control-plane', signal: 'SIGTERM', timeoutMs: 10_000 },
  { name: 'agent', signal: 'SIGTERM', timeoutMs: 10_000 },
  { name: 'redis', signal: 'SIGTERM', timeoutMs: 20_000 },
  { name: 'postgres', signal: 'SIGINT', timeoutMs: 30_000 },
];

/**
 * Ends the children that an `up` left when it was killed; they end by themselves, but may still be at it. The caller
 * holds the lock. Returns the names of those found alive.
 */
export async function endLeftovers(pidsDir: string, clock: Clock): Promise<string[]> {
  const found: string[] = [];
  for (const { name, signal, timeoutMs } of CHILDREN) {
    const left = await findProcess(pidsDir, name);
    if (left) {
      found.push(name);
      await endProcess(left, { signal, timeoutMs, clock });
    }
    await forgetProcess(pidsDir, name);
  }
  return found;
}
