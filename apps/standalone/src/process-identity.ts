import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { isSystemError } from '#libs/errors';
import { type Clock, readFileIfExists } from '#libs/host';

/** A process that cannot be mistaken for a later one with the same pid: its start time and this boot go with it. */
const ProcessIdentity = z.object({
  pid: z.number().int().min(2),
  startTicks: z.string(),
  bootId: z.string(),
});
export type ProcessIdentity = z.infer<typeof ProcessIdentity>;

const POLL_MS = 20;

/** Who `pid` is now, or undefined when there is no such process (a zombie counts as none). */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // proc_pid_stat(5): the name may hold spaces and parentheses, so count from the last one
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    return { pid, startTicks: fields[19] ?? '', bootId };
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

/** Notes who runs as `name`, for whoever cleans up after this process. */
export async function noteProcess(pidsDir: string, name: string, pid: number): Promise<void> {
  const identity = await identify(pid);
  if (!identity) return;
  await mkdir(pidsDir, { recursive: true, mode: 0o700 });
  await writeFile(fileOf(pidsDir, name), JSON.stringify(identity), { mode: 0o600 }); // of no use after a reboot
}

export async function forgetProcess(pidsDir: string, name: string): Promise<void> {
  await rm(fileOf(pidsDir, name), { force: true });
}

/** The process that was noted as `name` and still lives. */
export async function findProcess(pidsDir: string, name: string): Promise<ProcessIdentity | undefined> {
  const text = await readFileIfExists(fileOf(pidsDir, name));
  if (text === undefined) return undefined;
  const noted = ProcessIdentity.safeParse(parseJson(text));
  if (!noted.success) return undefined;
  return (await isAlive(noted.data)) ? noted.data : undefined;
}

export async function isAlive(noted: ProcessIdentity): Promise<boolean> {
  const now = await identify(noted.pid);
  return now !== undefined && now.startTicks === noted.startTicks && now.bootId === noted.bootId;
}

/** Asks a process that is not our child to end; SIGKILL after `timeoutMs`. Returns when it is gone. */
export async function endProcess(
  target: ProcessIdentity,
  { signal, timeoutMs, clock }: { signal: NodeJS.Signals; timeoutMs: number; clock: Clock },
): Promise<void> {
  const deadline = clock.now() + timeoutMs;
  let next: NodeJS.Signals | undefined = signal;
  while (await isAlive(target)) {
    if (next) sendSignal(target.pid, next);
    next = clock.now() > deadline ? 'SIGKILL' : undefined;
    await clock.sleep(POLL_MS);
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!isSystemError(error, 'ESRCH')) throw error;
  }
}

function fileOf(pidsDir: string, name: string): string {
  return path.join(pidsDir, `${name}.json`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
