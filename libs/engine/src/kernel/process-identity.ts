import { readFileSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { isSystemError, PlatformError } from '#libs/errors';
import { closeFd, openPidfd, sendSignal } from './libc.ts';

/** A process that can be told from a later one with the same pid, over reboots too. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks from boot to its start (proc(5), /proc/PID/stat field 22). */
  startTicks: string;
  bootId: string;
}

/** This boot's id (random(4)). */
export function currentBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Fields of /proc/PID/stat after the command name; undefined when there is no such process or it is a zombie. */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .trim()
      .split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

/** The identity of a living process; undefined when it is gone. */
export function identifyProcess(pid: number, bootId: string): ProcessIdentity | undefined {
  const startTicks = statFields(pid)?.[19];
  return startTicks === undefined ? undefined : { pid, startTicks, bootId };
}

/** True while this very process lives (a zombie does not). */
export function isAlive(identity: ProcessIdentity, bootId: string): boolean {
  return identity.bootId === bootId && statFields(identity.pid)?.[19] === identity.startTicks;
}

/** Signals exactly this process, never one that got its pid later; false when it is gone. */
export function signalProcess(identity: ProcessIdentity, signal: number, bootId: string): boolean {
  const pidfd = openPidfd(identity.pid);
  if (pidfd === undefined) return false;
  try {
    return isAlive(identity, bootId) && sendSignal(pidfd, signal);
  } finally {
    closeFd(pidfd);
  }
}

/** Whether `signalNumber` knows it: images name whatever they like. */
export function isSignal(name: string): boolean {
  try {
    return signalNumber(name) > 0;
  } catch {
    return false;
  }
}

/** Number of a signal given as `SIGTERM`, `TERM` or `15`; throws `invalid_input` for anything else. */
export function signalNumber(name: string): number {
  const upper = name.toUpperCase();
  const table: Record<string, number> = osConstants.signals;
  const found = /^\d+$/.test(upper)
    ? Number(upper)
    : (table[upper.startsWith('SIG') ? upper : `SIG${upper}`] ?? realTimeSignal(upper));
  if (found === undefined || found < 1 || found > 64) {
    throw new PlatformError('invalid_input', `${JSON.stringify(name)} is not a signal`, {
      hint: 'use a name such as SIGTERM or a number from 1 to 64',
    });
  }
  return found;
}

/** `SIGRTMIN+3` and the like, which images use as stop signals; glibc's SIGRTMIN is 34. */
function realTimeSignal(upper: string): number | undefined {
  const match = /^(?:SIG)?RTMIN(?:\+(\d{1,2}))?$/.exec(upper);
  return match ? 34 + Number(match[1] ?? 0) : undefined;
}
