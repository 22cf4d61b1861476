import { constants } from 'node:os';
import type { ContainerExit } from '#libs/engine';

/** How a process ended, as a line for the app's log. */
export function describeExit(exit: Pick<ContainerExit, 'code' | 'oomKilled'>): string {
  if (exit.oomKilled) return 'Killed: out of memory';
  const signal = Object.entries(constants.signals).find(([, number]) => number === exit.code - 128)?.[0];
  return `Process exited with status ${exit.code}${signal ? ` (${signal})` : ''}`;
}
