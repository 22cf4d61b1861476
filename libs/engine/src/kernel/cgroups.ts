import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isSystemError, PlatformError } from '#libs/errors';
import type { Clock } from '#libs/host';

/** How control groups are laid out on this machine. */
export interface CgroupLayout {
  /** `unified`: pure v2. `legacy`: controllers in v1 hierarchies, a v2 tree beside them or not (hybrid). */
  mode: 'unified' | 'legacy';
  /** Mount points of every hierarchy, the v2 one too; a container's cgroup has the same path in each. */
  mounts: string[];
  /** Where the limits sit. */
  memory: string;
  cpu: string;
  pids: string;
  /** Whether swap can be limited together with memory. */
  swapLimit: boolean;
}

export interface CgroupMount {
  point: string;
  type: string;
  options: string[];
}

const REMOVE_TRIES = 200;

/** The control-group hierarchies of a mountinfo text (proc(5)). */
export function cgroupMounts(mountinfo: string): CgroupMount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [type = '', , options = ''] = right.split(' ');
    const point = left.split(' ')[4] ?? '';
    return type === 'cgroup' || type === 'cgroup2' ? [{ point, type, options: options.split(',') }] : [];
  });
}

function missing(controllers: string): PlatformError {
  return new PlatformError('unsupported', `this machine has no cgroup controller for ${controllers}`, {
    hint: 'boot with the memory controller on (kernel option cgroup_enable=memory) or give the container that this runs in its own cgroup tree',
  });
}

/** Reads the layout; throws `unsupported` when memory, cpu or pids cannot be limited here. */
export function detectCgroups(): CgroupLayout {
  const mounts = cgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  const points = mounts.map((mount) => mount.point);
  const v1 = (controller: string) =>
    mounts.find((mount) => mount.type === 'cgroup' && mount.options.includes(controller))?.point;
  const [memory, cpu, pids] = [v1('memory'), v1('cpu'), v1('pids')];
  if (memory && cpu && pids) {
    const swapLimit = readableFile(path.join(memory, 'memory.memsw.limit_in_bytes'));
    return { mode: 'legacy', mounts: points, memory, cpu, pids, swapLimit };
  }
  const unified = mounts.find((mount) => mount.type === 'cgroup2')?.point;
  const controllers = unified
    ? readFileSync(path.join(unified, 'cgroup.controllers'), 'utf8').trim().split(' ')
    : [];
  const absent = ['memory', 'cpu', 'pids'].filter((name) => !controllers.includes(name) && !v1(name));
  if (absent.length > 0 || !unified) throw missing(absent.join(', ') || 'memory, cpu and pids');
  return {
    mode: 'unified',
    mounts: [unified],
    memory: unified,
    cpu: unified,
    pids: unified,
    swapLimit: true,
  };
}

function readableFile(file: string): boolean {
  try {
    readFileSync(file);
    return true;
  } catch {
    return false;
  }
}

async function ignoring(codes: string[], work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isSystemError(error, ...codes)) throw error;
  }
}

/**
 * Makes the groups that containers' groups sit in, with builds at a quarter of an instance's weight, and `monitor` for
 * conmon, so that neither a service manager nor a limit on the daemon takes the monitors down with it. Monitors have a
 * quarter too: an app that prints without end keeps its monitor busy, at the expense of nobody else.
 */
export async function prepareParents(layout: CgroupLayout, top: string): Promise<void> {
  for (const mount of layout.mounts) {
    for (const name of ['instance', 'build', 'monitor']) {
      await ignoring(['EROFS', 'EACCES'], mkdir(path.join(mount, top, name), { recursive: true }));
    }
  }
  if (layout.mode === 'unified') {
    for (const folder of ['', top, `${top}/instance`, `${top}/build`]) {
      const file = path.join(layout.memory, folder, 'cgroup.subtree_control');
      await writeFile(file, '+memory +cpu +pids').catch((cause: unknown) => {
        throw new PlatformError('unsupported', `the cgroup controllers cannot be handed down in ${file}`, {
          cause,
          hint: 'inside a container, give it a cgroup namespace whose top group holds no processes',
        });
      });
    }
    for (const group of ['build', 'monitor'])
      await writeFile(path.join(layout.cpu, top, group, 'cpu.weight'), '25');
  } else {
    for (const group of ['build', 'monitor'])
      await writeFile(path.join(layout.cpu, top, group, 'cpu.shares'), '256');
  }
}

/** Moves a process into a group of every hierarchy that takes it. */
export async function joinGroup(layout: CgroupLayout, group: string, pid: number): Promise<void> {
  for (const mount of layout.mounts) {
    // A cpuset group without cpus takes nobody (ENOSPC); the process may be gone by now (ESRCH).
    const file = path.join(mount, group, 'cgroup.procs');
    await ignoring(['ENOSPC', 'ESRCH', 'ENOENT', 'EROFS', 'EINVAL'], writeFile(file, String(pid)));
  }
}

/** How often the kernel killed a process of the group for its memory; 0 when the group is gone. */
export async function oomKills(layout: CgroupLayout, group: string): Promise<number> {
  const file = layout.mode === 'unified' ? 'memory.events' : 'memory.oom_control';
  try {
    const text = await readFile(path.join(layout.memory, group, file), 'utf8');
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENODEV')) return 0;
    throw error;
  }
}

/** Pids of the group and all groups below it, from every hierarchy. */
export async function processesIn(mounts: readonly string[], group: string): Promise<Set<number>> {
  const pids = new Set<number>();
  for (const mount of mounts) {
    for (const folder of await groupsBelow(path.join(mount, group))) {
      try {
        const text = await readFile(path.join(folder, 'cgroup.procs'), 'utf8');
        for (const line of text.split('\n')) if (Number(line) > 0) pids.add(Number(line));
      } catch (error) {
        if (!isSystemError(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP')) throw error;
      }
    }
  }
  return pids;
}

/** The group's folder and all below it, deepest first; empty when it is not there. */
export async function groupsBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    const below = await Promise.all(
      entries
        .filter((entry) => entry.isDirectory())
        .map((entry) => groupsBelow(path.join(folder, entry.name))),
    );
    return [...below.flat(), folder];
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Removes the group with all below it from every hierarchy, waiting for processes that are still dying. */
export async function removeGroup(mounts: readonly string[], group: string, clock: Clock): Promise<void> {
  for (const mount of mounts) {
    for (const folder of await groupsBelow(path.join(mount, group))) await removeFolder(folder, clock);
  }
}

async function removeFolder(folder: string, clock: Clock): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await rmdir(folder);
      return;
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'EROFS')) return;
      if (!isSystemError(error, 'EBUSY') || tries === REMOVE_TRIES) {
        throw new PlatformError('internal', `could not remove the cgroup ${folder}`, {
          cause: error,
          hint: 'a process in it does not die; look at its cgroup.procs',
        });
      }
      await clock.sleep(tries < 20 ? 1 : 20);
    }
  }
}
