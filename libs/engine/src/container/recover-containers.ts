import { isAlive } from '../kernel/process-identity.ts';
import { runtimeNamed } from '../runtime/runtime.ts';
import type { Containers } from './containers.ts';
import { type EngineParts, runtimeIdOf } from './parts.ts';
import { newRecord } from './record.ts';
import { removeRemains } from './remove-container.ts';

/** How long a start that a crash cut off is tried again. */
const FINISH_START_MS = 1000;

/**
 * Finds what earlier processes left: whole containers are adopted, whether their process still runs or not; half-made
 * ones are removed; a start that was cut short is finished. Exits that happened meanwhile are known at the end.
 */
export async function recoverContainers(parts: EngineParts, containers: Containers): Promise<void> {
  for (const id of await parts.store.list()) {
    const { spec, state } = await parts.store.read(id);
    if (!spec || !state || spec.id !== id) {
      parts.log.warn({ container: id }, 'removing a half-made container');
      await removeRemains(parts, { id, profile: spec?.profile, link: state?.link ?? null });
      continue;
    }
    if (state.address) parts.network.adopt(state.address);
    containers.adopt(newRecord(spec, parts.store.paths(id).logFile, state));
    await finishStart(parts, id, state);
  }
  await containers.sweep();
}

async function finishStart(
  parts: EngineParts,
  id: string,
  { startedAtMs, exit, init, runtime: name }: Parameters<typeof newRecord>[2],
): Promise<void> {
  if (startedAtMs === null || exit || !isAlive(init, parts.bootId)) return;
  const runtime = runtimeNamed(name, parts.runtime, parts.clock);
  const runtimeId = runtimeIdOf(parts, id);
  if (!(await runtime.isWaiting(runtimeId))) return;
  const deadline = parts.clock.now() + FINISH_START_MS;
  const alive = () => isAlive(init, parts.bootId) && parts.clock.now() < deadline;
  await runtime.start(runtimeId, alive).catch(() => {}); // it had been let run, and only the FIFO was left
}
