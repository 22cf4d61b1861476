import { Injectable } from '@nestjs/common';
import type { DesiredState, Node, ObservedState } from '#libs/contract';
import { chooseNode } from '#libs/scheduler';
import { type Database, PrismaService } from '../database/prisma.service.ts';
import { NODE_LOST_AFTER_MS, ROUTED_SERVICE } from '../deployments/app-facts.ts';
import { ReconcileQueue } from '../deployments/reconcile.queue.ts';
import { EventBus } from '../events/event-bus.ts';
import { bumpRoutes } from '../routers/route-version.ts';
import { DEFAULT_RESOURCES, DesiredStateService } from './desired-state.service.ts';

const LOOK_AGAIN_MS = 5_000;

@Injectable()
export class NodesService {
  constructor(
    private readonly prisma: PrismaService,
    private readonly bus: EventBus,
    private readonly desiredState: DesiredStateService,
    private readonly reconcile: ReconcileQueue,
  ) {}

  /** Raises the version of what the node should do, inside the transaction that changes it. */
  async bump(database: Database, nodeId: string): Promise<void> {
    await database.node.update({ where: { id: nodeId }, data: { desiredVersion: { increment: 1 } } });
  }

  /** Nodes that have something of the app. */
  async nodesOf(database: Database, appId: string): Promise<string[]> {
    const instances = await database.instance.findMany({
      where: { appId, goneAt: null },
      select: { nodeId: true },
    });
    const builds = await database.build.findMany({
      where: { appId, status: 'running' },
      select: { nodeId: true },
    });
    const volumes = await database.volume.findMany({ where: { appId }, select: { nodeId: true } });
    return [...new Set([...instances, ...builds, ...volumes].flatMap((row) => row.nodeId ?? []))];
  }

  /** Where one more instance of the service goes; its app's volumes are bound to that node from then on. */
  async place(
    tx: Database,
    of: { appId: string; service: string },
  ): Promise<{ node: string } | { refused: string }> {
    const volumes = await tx.volume.findMany({
      where: { appId: of.appId },
      select: { id: true, nodeId: true },
    });
    const pinnedTo = volumes.find((volume) => volume.nodeId)?.nodeId ?? null;
    const chosen = chooseNode(await this.#facts(tx, of), {
      memoryBytes: DEFAULT_RESOURCES.memoryBytes,
      pinnedTo,
    });
    if ('node' in chosen && volumes.some((volume) => volume.nodeId === null)) {
      await tx.volume.updateMany({ where: { appId: of.appId, nodeId: null }, data: { nodeId: chosen.node } });
    }
    return chosen;
  }

  /** A node that can take a build now. */
  async pickForBuild(): Promise<{ id: string } | null> {
    return this.prisma.node.findFirst({
      where: { lastSeenAt: { gt: new Date(Date.now() - NODE_LOST_AFTER_MS) } },
      orderBy: { builds: { _count: 'asc' } },
      select: { id: true },
    });
  }

  /** The desired state once its version is not `version`, or null after `waitSeconds`. */
  async waitForDesired(
    nodeId: string,
    version: number,
    waitSeconds: number,
    gone: AbortSignal,
  ): Promise<DesiredState | null> {
    const signal = AbortSignal.any([gone, AbortSignal.timeout(waitSeconds * 1000 + 1)]);
    for await (const _ of this.bus.watch(`node:${nodeId}`, { everyMs: LOOK_AGAIN_MS, signal })) {
      const node = await this.prisma.node.findUniqueOrThrow({
        where: { id: nodeId },
        select: { desiredVersion: true },
      });
      if (node.desiredVersion !== version) return this.desiredState.of(nodeId);
    }
    return null;
  }

  /** Takes over what an agent sees, and has every app reconciled for which that is news. */
  async observe(nodeId: string, observed: ObservedState): Promise<void> {
    const { apps, routes } = await this.prisma.$transaction(async (tx) => {
      const before = await tx.node.findUniqueOrThrow({ where: { id: nodeId } });
      await tx.node.update({
        where: { id: nodeId },
        data: {
          name: observed.name,
          version: observed.version,
          memoryBytes: observed.capacity.memoryBytes,
          cpus: observed.capacity.cpus,
          lastSeenAt: new Date(),
        },
      });
      const changed = await applyReports(tx, nodeId, observed);
      for (const appId of await markGone(tx, nodeId, observed, before.desiredVersion))
        changed.apps.add(appId);
      if (changed.routes) await bumpRoutes(tx);
      return changed;
    });
    if (routes) this.bus.publish('routes');
    for (const appId of apps) {
      this.bus.publish(`app:${appId}`);
      await this.reconcile.request(appId);
    }
  }

  async list(): Promise<{ items: Node[] }> {
    const rows = await this.prisma.node.findMany({
      orderBy: { createdAt: 'asc' },
      include: { _count: { select: { instances: { where: { goneAt: null } } } } },
    });
    const items = rows.map(
      (row): Node => ({
        id: row.id,
        name: row.name,
        status: isReady(row) ? 'ready' : 'lost',
        memoryBytes: Number(row.memoryBytes),
        cpus: row.cpus,
        instances: row._count.instances,
        version: row.version,
        lastSeenAt: row.lastSeenAt?.toISOString() ?? null,
      }),
    );
    return { items };
  }

  async #facts(tx: Database, of: { appId: string; service: string }) {
    const rows = await tx.node.findMany({
      include: {
        instances: { where: { goneAt: null, wanted: true }, select: { appId: true, service: true } },
      },
    });
    return rows.map((row) => ({
      id: row.id,
      ready: isReady(row),
      memoryBytes: Number(row.memoryBytes),
      memoryPlacedBytes: row.instances.length * DEFAULT_RESOURCES.memoryBytes,
      peers: row.instances.filter((i) => i.appId === of.appId && i.service === of.service).length,
    }));
  }
}

function isReady(row: { lastSeenAt: Date | null }): boolean {
  return row.lastSeenAt !== null && Date.now() - row.lastSeenAt.getTime() < NODE_LOST_AFTER_MS;
}

interface Changes {
  apps: Set<string>;
  /** Routers have something else to serve, or to say. */
  routes: boolean;
}

/** Writes what changed of the instances that the node reports; returns the apps for which it matters. */
async function applyReports(tx: Database, nodeId: string, observed: ObservedState): Promise<Changes> {
  const rows = await tx.instance.findMany({ where: { nodeId, goneAt: null }, orderBy: { id: 'asc' } });
  const reports = new Map(observed.instances.map((report) => [report.id, report]));
  const changes: Changes = { apps: new Set(), routes: false };
  for (const row of rows) {
    const report = reports.get(row.id);
    if (!report || report.generation !== row.generation) continue;
    const data = {
      state: report.state,
      host: report.address?.host ?? null,
      port: report.address?.port ?? null,
      restarts: report.restarts,
      message: report.message,
    };
    const same = Object.entries(data).every(([key, value]) => row[key as keyof typeof data] === value);
    if (same) continue;
    const startedAt = report.startedAt ? new Date(report.startedAt) : null;
    await tx.instance.update({
      where: { id: row.id },
      data: { ...data, startedAt, ...(report.lastExit ? { lastExit: report.lastExit } : {}) },
    });
    changes.apps.add(row.appId);
    const routed = row.service === ROUTED_SERVICE && row.drainingAt === null;
    if (routed && asRouted(row) !== asRouted(data)) changes.routes = true;
  }
  return changes;
}

/** What the route table shows of an instance in this state; see `RouteTableService`. */
function asRouted({
  state,
  host,
  port,
}: {
  state: string;
  host: string | null;
  port: number | null;
}): string {
  if (state === 'healthy') return `${host} ${port}`;
  return state === 'backoff' || state === 'failed' ? 'crashed' : 'absent';
}

/** Notes the instances that the node was told to stop and that it, acting on that, no longer has. */
async function markGone(
  tx: Database,
  nodeId: string,
  observed: ObservedState,
  desiredVersion: number,
): Promise<string[]> {
  if (observed.desiredVersion !== desiredVersion) return [];
  const gone = await tx.instance.findMany({
    where: {
      nodeId,
      goneAt: null,
      wanted: false,
      id: { notIn: observed.instances.map((report) => report.id) },
    },
    select: { id: true, appId: true },
  });
  if (gone.length === 0) return [];
  await tx.instance.updateMany({
    where: { id: { in: gone.map((row) => row.id) } },
    data: { goneAt: new Date(), state: 'stopped', host: null, port: null },
  });
  return gone.map((row) => row.appId);
}
