import type { Container, Engine } from '#libs/engine';
import { errorMessage } from '#libs/errors';
import { toInstanceContainer } from './instances/container-labels.ts';

/** However long an app's own grace period is: whoever takes the platform down is waiting. */
export const MAX_TEARDOWN_GRACE_MS = 10_000;

/**
 * Stops and removes every container of the engine, all at once. A build step gets no grace: its build starts anew.
 * `onLine` is told what was stopped. Returns what could not be, as text; teardown of the kernel's objects finds it.
 */
export async function stopContainers(engine: Engine, onLine: (line: string) => void): Promise<string[]> {
  const ended = await Promise.allSettled(
    engine.list().map((container) => stopContainer(engine, container, onLine)),
  );
  return ended.flatMap((one) => (one.status === 'rejected' ? [errorMessage(one.reason)] : []));
}

async function stopContainer(
  engine: Engine,
  container: Container,
  onLine: (line: string) => void,
): Promise<void> {
  const { id } = container.spec;
  const labels = toInstanceContainer(container)?.labels;
  const graceMs = Math.min((labels?.stopGraceSeconds ?? 0) * 1000, MAX_TEARDOWN_GRACE_MS);
  const wasRunning = container.status === 'running';
  const exit = await engine.stop(id, graceMs);
  await engine.remove(id);
  const name = labels ? `${labels.slug} ${labels.service} ${labels.instance}` : id;
  if (wasRunning) onLine(`stopped ${name}${exit ? ` (status ${exit.code})` : ''}`);
}
