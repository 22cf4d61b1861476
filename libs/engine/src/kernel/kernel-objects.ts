import { readFileSync } from 'node:fs';
import { readdir, readlink, rm } from 'node:fs/promises';
import { constants as osConstants } from 'node:os';
import { PlatformError } from '#libs/errors';
import { hasTable } from '../network/firewall.ts';
import type { EngineDeps, KernelObject } from '../types.ts';
import { cgroupMounts, groupsBelow, processesIn, removeGroup } from './cgroups.ts';
import { findMonitors } from './find-processes.ts';
import { unmount } from './libc.ts';
import { type KernelNames, kernelNames } from './names.ts';
import { deleteLink } from './netlink.ts';
import {
  currentBootId,
  identifyProcess,
  isAlive,
  type ProcessIdentity,
  signalProcess,
} from './process-identity.ts';
import { findProgram } from './programs.ts';

const KILL_TIMEOUT_MS = 20_000;
/** What conmon gets to write the exit codes of killed containers down. */
const MONITOR_GRACE_MS = 2000;

type ListDeps = Pick<EngineDeps, 'exec'>;
type TeardownDeps = Pick<EngineDeps, 'exec' | 'clock' | 'log'>;

function hierarchies(): string[] {
  return cgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8')).map((mount) => mount.point);
}

/** Mount points of the installation, in the order they were made. */
function mountPoints({ label }: KernelNames): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    // A space in a path is written as \040 (proc(5)).
    const point = (left.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return right.split(' ')[1] === label || `${point}/`.includes(`/${label}/`) ? [point] : [];
  });
}

async function containerProcesses(names: KernelNames, bootId: string): Promise<ProcessIdentity[]> {
  const pids = await processesIn(hierarchies(), `/${names.label}`);
  return [...pids].flatMap((pid) => identifyProcess(pid, bootId) ?? []);
}

async function links({ linkPrefix }: KernelNames): Promise<string[]> {
  return (await readdir('/sys/class/net')).filter((name) => name.startsWith(linkPrefix));
}

/** Path of nft while the installation's table is there; undefined when it is not, or there is no nft to make one. */
async function nftOfTable({ exec }: ListDeps, { table }: KernelNames): Promise<string | undefined> {
  const nft = await findProgram('nft');
  return nft && (await hasTable(exec, nft, table)) ? nft : undefined;
}

async function processName(pid: number): Promise<string> {
  return readlink(`/proc/${pid}/exe`).then(
    (program) => `${pid} ${program}`,
    () => String(pid),
  );
}

async function networkNamespaces(processes: readonly ProcessIdentity[]): Promise<string[]> {
  const own = await readlink('/proc/self/ns/net');
  const all = await Promise.all(processes.map(({ pid }) => readlink(`/proc/${pid}/ns/net`).catch(() => own)));
  return [...new Set(all)].filter((name) => name !== own);
}

/**
 * Everything that carries the installation's id in this kernel: for `gantry down`, doctor and the leak check alike.
 * Network namespaces are the ones that its processes are in; they go with these.
 */
export async function listKernelObjects(installationId: string, deps: ListDeps): Promise<KernelObject[]> {
  const names = kernelNames(installationId);
  const bootId = currentBootId();
  const inGroups = await containerProcesses(names, bootId);
  const monitors = await findMonitors(names.containerPrefix, bootId);
  const pids = new Set([...inGroups, ...monitors].map(({ pid }) => pid));
  const groups = await Promise.all(hierarchies().map((mount) => groupsBelow(`${mount}/${names.label}`)));
  const named = (kind: KernelObject['kind'], all: string[]) => all.map((name) => ({ kind, name }));
  return [
    ...named('process', await Promise.all([...pids].map(processName))),
    ...named('netns', await networkNamespaces(inGroups)),
    ...named('mount', mountPoints(names)),
    ...named('link', await links(names)),
    ...named('nft-table', (await nftOfTable(deps, names)) ? [names.table] : []),
    ...named('cgroup', groups.flat()),
  ];
}

async function killAll(
  processes: readonly ProcessIdentity[],
  bootId: string,
  { clock }: TeardownDeps,
): Promise<void> {
  const deadline = clock.now() + KILL_TIMEOUT_MS;
  for (const process of processes) signalProcess(process, osConstants.signals.SIGKILL, bootId);
  while (processes.some((process) => isAlive(process, bootId)) && clock.now() < deadline)
    await clock.sleep(5);
}

async function endProcesses(names: KernelNames, deps: TeardownDeps): Promise<void> {
  const bootId = currentBootId();
  const monitors = await findMonitors(names.containerPrefix, bootId);
  const isMonitor = new Set(monitors.map(({ pid }) => pid));
  const deadline = deps.clock.now() + KILL_TIMEOUT_MS;
  for (;;) {
    const left = (await containerProcesses(names, bootId)).filter(({ pid }) => !isMonitor.has(pid));
    if (left.length === 0 || deps.clock.now() > deadline) break;
    await killAll(left, bootId, deps);
  }
  const grace = deps.clock.now() + MONITOR_GRACE_MS;
  while (monitors.some((one) => isAlive(one, bootId)) && deps.clock.now() < grace) await deps.clock.sleep(5);
  await killAll(await findMonitors(names.containerPrefix, bootId), bootId, deps);
}

async function removeTable(names: KernelNames, deps: TeardownDeps): Promise<void> {
  const nft = await nftOfTable(deps, names);
  if (nft) await deps.exec.run(nft, ['delete', 'table', 'inet', names.table]);
}

/**
 * Kills and removes everything that `listKernelObjects` finds; can be repeated. Containers' folders stay on disk, so the
 * next `openEngine` knows them as ended. No engine of the installation may be open. Returns what it found; throws
 * `internal` with the names of what would not go.
 */
export async function teardownKernelObjects(
  installationId: string,
  deps: TeardownDeps,
): Promise<KernelObject[]> {
  const names = kernelNames(installationId);
  const found = await listKernelObjects(installationId, deps);
  const failures: unknown[] = [];
  const attempt = async (work: () => Promise<unknown> | unknown) => {
    try {
      await work();
    } catch (error) {
      failures.push(error);
    }
  };
  await attempt(() => endProcesses(names, deps));
  for (const point of mountPoints(names).reverse()) await attempt(() => unmount(point));
  for (const link of await links(names)) await attempt(() => deleteLink(link));
  await attempt(() => removeTable(names, deps));
  await attempt(() => removeGroup(hierarchies(), `/${names.label}`, deps.clock));
  await attempt(() => rm(names.runFolder, { recursive: true, force: true }));
  const left = await listKernelObjects(installationId, deps);
  if (left.length === 0) return found;
  const what = left.map(({ kind, name }) => `${kind} ${name}`).join(', ');
  throw new PlatformError(
    'internal',
    `these things of installation ${installationId} could not be removed: ${what}`,
    {
      cause: failures.length > 0 ? new AggregateError(failures) : undefined,
      hint: 'run it again; if they stay, a process that does not die holds them',
    },
  );
}
