import { z } from 'zod';
import { AppSlug, type DesiredInstance, Id, ServiceName } from '#libs/contract';
import type { Container } from '#libs/engine';

const PREFIX = 'gantry.';

/** What a container's labels say of the instance that it is, so that it is recognised after any crash. */
const InstanceLabels = z.object({
  instance: Id,
  generation: z.coerce.number().int().nonnegative(),
  attempt: z.coerce.number().int().positive(),
  app: Id,
  slug: AppSlug,
  service: ServiceName,
  release: z.coerce.number().int(),
  image: z.string(),
  port: z.coerce.number().int(),
  health: z.enum(['tcp', 'none']),
  startTimeoutSeconds: z.coerce.number().int().positive(),
  stopGraceSeconds: z.coerce.number().int().nonnegative(),
  /** Volume ids, separated by commas. */
  volumes: z.string().transform((ids) => ids.split(',').filter((id) => id !== '')),
});
export type InstanceLabels = z.output<typeof InstanceLabels>;

/** An instance's container as the planner sees it. */
export interface InstanceContainer {
  labels: InstanceLabels;
  container: Container;
}

/**
 * The engine's id of one attempt to run an instance: at most 40 characters of [0-9a-z_]. An instance id takes 25,
 * which leaves 6 base-36 digits each for generation and attempt.
 */
export function containerId(instanceId: string, generation: number, attempt: number): string {
  return `${instanceId}_${generation.toString(36)}_${attempt.toString(36)}`;
}

export function toLabels(instance: DesiredInstance, attempt: number): Record<string, string> {
  const labels: Record<keyof InstanceLabels, string | number> = {
    instance: instance.id,
    generation: instance.generation,
    attempt,
    app: instance.app.id,
    slug: instance.app.slug,
    service: instance.service,
    release: instance.release,
    image: `${instance.image.repository}@${instance.image.digest}`,
    port: instance.port,
    health: instance.health.kind,
    startTimeoutSeconds: instance.health.startTimeoutSeconds,
    stopGraceSeconds: instance.stopGraceSeconds,
    volumes: instance.volumes.map((volume) => volume.id).join(','),
  };
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [PREFIX + name, String(value)]));
}

/** The instance that a container is, or undefined when it is none (a build step, or somebody else's). */
export function toInstanceContainer(container: Container): InstanceContainer | undefined {
  if (container.spec.profile !== 'instance') return undefined;
  const own = Object.entries(container.spec.labels).filter(([name]) => name.startsWith(PREFIX));
  const parsed = InstanceLabels.safeParse(
    Object.fromEntries(own.map(([name, value]) => [name.slice(PREFIX.length), value])),
  );
  return parsed.success ? { labels: parsed.data, container } : undefined;
}
