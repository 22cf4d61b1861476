import { constants as osConstants } from 'node:os';
import { PlatformError } from '#libs/errors';
import { processesIn, removeGroup } from '../kernel/cgroups.ts';
import { findMonitors } from '../kernel/find-processes.ts';
import { identifyProcess, isAlive, type ProcessIdentity, signalProcess } from '../kernel/process-identity.ts';
import type { ContainerProfile } from '../types.ts';
import { cgroupOf, type EngineParts, runtimeIdOf } from './parts.ts';

const KILL_TIMEOUT_MS = 20_000;
const MONITOR_TIMEOUT_MS = 3000;
const ALL_PROFILES: ContainerProfile[] = ['instance', 'build'];

export interface Remains {
  id: string;
  /** Undefined when nothing on disk says; both places are looked at then. */
  profile?: ContainerProfile;
  link: string | null;
  /** Its conmon, when known; else all processes are looked through. */
  monitor?: ProcessIdentity;
}

/** Kills what is left in the container's cgroups until nothing is. */
async function killGroup(parts: EngineParts, group: string): Promise<void> {
  const deadline = parts.clock.now() + KILL_TIMEOUT_MS;
  for (let round = 0; ; round++) {
    const pids = await processesIn(parts.cgroups.mounts, group);
    const living = [...pids].flatMap((pid) => identifyProcess(pid, parts.bootId) ?? []);
    if (living.length === 0) return;
    if (parts.clock.now() > deadline) {
      throw new PlatformError('timeout', `${living.length} processes in ${group} survived SIGKILL for 20 s`, {
        hint: 'they probably wait for a disk or network file system; look at /proc/PID/stack',
      });
    }
    for (const process of living) signalProcess(process, osConstants.signals.SIGKILL, parts.bootId);
    await parts.clock.sleep(round < 20 ? 2 : 50);
  }
}

/** Waits until conmon has written what it had to and is gone; kills one that hangs. */
async function endMonitor(parts: EngineParts, runtimeId: string, known?: ProcessIdentity): Promise<void> {
  const deadline = parts.clock.now() + MONITOR_TIMEOUT_MS;
  const candidates = known ? [known] : await findMonitors(runtimeId, parts.bootId);
  for (;;) {
    const monitors = candidates.filter((monitor) => isAlive(monitor, parts.bootId));
    if (monitors.length === 0) return;
    if (parts.clock.now() > deadline) {
      for (const monitor of monitors) signalProcess(monitor, osConstants.signals.SIGKILL, parts.bootId);
    }
    await parts.clock.sleep(2);
  }
}

/**
 * Removes all that a container, whole or half made, has in kernel and on disk. Each step does nothing when its thing is
 * gone already, so it can be repeated after a crash at any point.
 */
export async function removeRemains(parts: EngineParts, remains: Remains): Promise<void> {
  const runtimeId = runtimeIdOf(parts, remains.id);
  const groups = (remains.profile ? [remains.profile] : ALL_PROFILES).map((p) =>
    cgroupOf(parts, p, remains.id),
  );
  for (const group of groups) await killGroup(parts, group);
  await endMonitor(parts, runtimeId, remains.monitor);
  for (const group of groups) await removeGroup(parts.cgroups.mounts, group, parts.clock);
  await parts.runtime.forget(runtimeId);
  if (remains.link) await parts.network.detach(remains.link);
  await parts.store.remove(remains.id, runtimeId);
}
