import { Injectable } from '@nestjs/common';
import type { Deployment, Volume } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { AppRow } from '../apps/apps.repository.ts';
import { isUniqueViolation, lockApp, newId, PrismaService } from '../database/prisma.service.ts';
import { EventBus } from '../events/event-bus.ts';
import type { Prisma } from '../generated/prisma/client.ts';
import { NodesService } from '../nodes/nodes.service.ts';
import { RolloutService } from '../releases/rollout.service.ts';

const MAX_VOLUMES_PER_APP = 10;
const include = { node: { select: { name: true } } } satisfies Prisma.VolumeInclude;

/** Folders that stay: made by name, mounted into every instance of the app from the next release on. */
@Injectable()
export class VolumesService {
  constructor(
    private readonly prisma: PrismaService,
    private readonly rollout: RolloutService,
    private readonly nodes: NodesService,
    private readonly bus: EventBus,
  ) {}

  async list(app: AppRow): Promise<{ items: Volume[] }> {
    const rows = await this.prisma.volume.findMany({
      where: { appId: app.id },
      include,
      orderBy: { name: 'asc' },
    });
    return { items: rows.map(present) };
  }

  /** Throws `conflict` for a taken name or path, `limit_exceeded` for one too many. */
  async create(
    app: AppRow,
    volume: { name: string; mountPath: string },
    actorId: string,
  ): Promise<{ volume: Volume; deployment: Deployment | null }> {
    const id = newId('volume');
    const deploymentId = await this.prisma
      .$transaction(async (tx) => {
        await lockApp(tx, app.id);
        const existing = await tx.volume.findMany({ where: { appId: app.id } });
        if (existing.length >= MAX_VOLUMES_PER_APP) {
          throw new PlatformError('limit_exceeded', `an app can have ${MAX_VOLUMES_PER_APP} volumes`);
        }
        const nested = existing.find((other) => overlap(other.mountPath, volume.mountPath));
        if (nested)
          throw new PlatformError('conflict', `volume ${nested.name} is at ${nested.mountPath} already`);
        // An app's instances and its other volumes are on one node, if it has any: this one belongs there too.
        const nodeId = existing.find((other) => other.nodeId)?.nodeId ?? (await nodeOfInstances(tx, app.id));
        await tx.volume.create({
          data: { id, organizationId: app.organizationId, appId: app.id, nodeId, ...volume },
        });
        if (nodeId) await this.nodes.bump(tx, nodeId);
        await record(
          tx,
          app,
          actorId,
          'volume.created',
          `created volume ${volume.name} at ${volume.mountPath}`,
        );
        return this.rollout.redeploy(tx, app.id, `volume ${volume.name} added`, actorId);
      })
      .catch((error: unknown) => {
        if (!isUniqueViolation(error)) throw error;
        throw new PlatformError('conflict', `${app.slug} has a volume named ${volume.name} already`);
      });
    const deployment = deploymentId ? await this.rollout.announce(app.id, deploymentId) : null;
    const row = await this.prisma.volume.findUniqueOrThrow({ where: { id }, include });
    return { volume: present(row), deployment };
  }

  /** Deletes the volume and its data, and deploys the app without it. Throws `not_found`. */
  async destroy(app: AppRow, name: string, actorId: string): Promise<void> {
    const { nodeId, deploymentId } = await this.prisma.$transaction(async (tx) => {
      await lockApp(tx, app.id);
      const row = await tx.volume.findUnique({ where: { appId_name: { appId: app.id, name } } });
      if (!row) throw new PlatformError('not_found', `${app.slug} has no volume named ${name}`);
      await tx.volume.delete({ where: { id: row.id } });
      if (row.nodeId) await this.nodes.bump(tx, row.nodeId);
      await record(tx, app, actorId, 'volume.destroyed', `destroyed volume ${name}`);
      const id = await this.rollout.redeploy(tx, app.id, `volume ${name} removed`, actorId);
      return { nodeId: row.nodeId, deploymentId: id };
    });
    if (nodeId) this.bus.publish(`node:${nodeId}`);
    if (deploymentId) await this.rollout.announce(app.id, deploymentId);
  }
}

function overlap(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`);
}

async function nodeOfInstances(tx: Prisma.TransactionClient, appId: string): Promise<string | null> {
  const row = await tx.instance.findFirst({
    where: { appId, goneAt: null, wanted: true },
    select: { nodeId: true },
  });
  return row?.nodeId ?? null;
}

async function record(
  tx: Prisma.TransactionClient,
  app: AppRow,
  actor: string,
  kind: string,
  message: string,
): Promise<void> {
  await tx.event.create({
    data: { organizationId: app.organizationId, appId: app.id, actor, kind, message },
  });
}

function present(row: Prisma.VolumeGetPayload<{ include: typeof include }>): Volume {
  return {
    id: row.id,
    name: row.name,
    mountPath: row.mountPath,
    node: row.node?.name ?? null,
    createdAt: row.createdAt.toISOString(),
  };
}
