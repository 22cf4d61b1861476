import { z } from 'zod';
import { ServiceDefinition } from '#libs/contract';
import type { AppFacts, InstanceFacts } from '#libs/scheduler';
import type { Database } from '../database/prisma.service.ts';
import type { Prisma } from '../generated/prisma/client.ts';

/** A router that has not been heard of for this long no longer holds back the stopping of old instances. */
const ROUTER_LOST_AFTER_MS = 60_000;
/** A node that has not been heard of for this long loses its instances to other nodes, if there are any. */
export const NODE_LOST_AFTER_MS = 60_000;

/** The service whose instances the app's host name leads to. */
export const ROUTED_SERVICE = 'web';

const ServiceDefinitions = z.array(ServiceDefinition);

/** The services of a release row. */
export function servicesOf(release: { services: Prisma.JsonValue }): ServiceDefinition[] {
  return ServiceDefinitions.parse(release.services);
}

/** The time, and since when this control plane has been there to be reported to; both in milliseconds since the epoch. */
export interface Listening {
  nowMs: number;
  sinceMs: number;
}

/** Everything that the planner needs to know of one app, read inside the transaction that will act on it. */
export async function readAppFacts(
  database: Database,
  appId: string,
  { nowMs, sinceMs }: Listening,
): Promise<AppFacts & { deploymentId: string | null }> {
  const app = await database.app.findUniqueOrThrow({
    where: { id: appId },
    include: {
      services: true,
      currentRelease: true,
      deployments: {
        where: { status: 'running' },
        include: { release: true },
        orderBy: { createdAt: 'desc' },
        take: 1,
      },
      instances: { where: { goneAt: null, wanted: true }, include: { node: true } },
      volumes: { select: { id: true } },
    },
  });
  const routers = await database.router.findMany({
    where: { lastSeenAt: { gt: heardAfter({ nowMs, sinceMs }, ROUTER_LOST_AFTER_MS) } },
  });
  const seenAfter = heardAfter({ nowMs, sinceMs }, NODE_LOST_AFTER_MS);
  const readyNodes = await database.node.count({ where: { lastSeenAt: { gt: seenAfter } } });
  const movable = readyNodes > 0 && app.volumes.length === 0;
  const instances = app.instances.map((row): InstanceFacts => {
    const unseen = (row.node.lastSeenAt ?? new Date(0)) < seenAfter;
    return {
      id: row.id,
      service: row.service,
      release: row.releaseId,
      state: row.state,
      restarts: row.restarts,
      message: row.message,
      lost: movable && unseen,
      createdAtMs: row.createdAt.getTime(),
      // routers had nobody to hear it from before, or to tell that they have let go
      drainingSinceMs: row.drainingAt && Math.max(row.drainingAt.getTime(), sinceMs),
      letGo:
        row.service !== ROUTED_SERVICE ||
        routers.every(
          (router) => router.appliedVersion >= (row.drainVersion ?? 0) && !router.busy.includes(row.id),
        ),
    };
  });
  const deployment = app.deployments[0];
  const definition = (release: { id: string; services: Prisma.JsonValue }) => ({
    release: release.id,
    services: servicesOf(release).map((service) => service.name),
  });
  return {
    nowMs,
    scale: Object.fromEntries(app.services.map((service) => [service.name, service.scale])),
    current: app.currentRelease ? definition(app.currentRelease) : null,
    deployment: deployment
      ? { ...definition(deployment.release), deadlineAtMs: deployment.deadlineAt.getTime() }
      : null,
    deploymentId: deployment?.id ?? null,
    instances,
  };
}

/** What was last heard of before then is lost. Nothing is while silence may be this control plane's own absence. */
function heardAfter({ nowMs, sinceMs }: Listening, lostAfterMs: number): Date {
  return new Date(nowMs - sinceMs < lostAfterMs ? 0 : nowMs - lostAfterMs);
}
