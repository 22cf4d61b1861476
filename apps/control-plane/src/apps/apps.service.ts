import { rm } from 'node:fs/promises';
import path from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import type { App } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { UserActor } from '../auth/actor.ts';
import { apiUrl, appUrl, type ControlPlaneConfig } from '../config.ts';
import { lockApp, PrismaService } from '../database/prisma.service.ts';
import { ReconcileQueue } from '../deployments/reconcile.queue.ts';
import { EventBus } from '../events/event-bus.ts';
import { NodesService } from '../nodes/nodes.service.ts';
import { bumpRoutes } from '../routers/route-version.ts';
import { CONFIG } from '../tokens.ts';
import { type AppSummary, AppsRepository } from './apps.repository.ts';

@Injectable()
export class AppsService {
  constructor(
    private readonly apps: AppsRepository,
    private readonly prisma: PrismaService,
    private readonly nodes: NodesService,
    private readonly reconcile: ReconcileQueue,
    private readonly bus: EventBus,
    @Inject(CONFIG) private readonly config: ControlPlaneConfig,
  ) {}

  async create(actor: UserActor, slug: string): Promise<App> {
    const app = await this.apps.create(actor.organization.id, slug, actor.user.id);
    await bumpRoutes(this.prisma);
    this.bus.publish('routes');
    return this.#present(await this.apps.summary(app.id));
  }

  async list(actor: UserActor): Promise<{ items: App[] }> {
    const rows = await this.apps.list(actor.organization.id);
    return { items: rows.map((row) => this.#present(row)) };
  }

  async show(actor: UserActor, slug: string): Promise<App> {
    const app = await this.apps.require(actor.organization.id, slug);
    return this.#present(await this.apps.summary(app.id));
  }

  /** Sets the number of instances of services that the current release has. Throws `not_found` for any other name. */
  async scale(actor: UserActor, slug: string, scale: Record<string, number>): Promise<App> {
    const app = await this.apps.require(actor.organization.id, slug);
    const known = (await this.apps.summary(app.id)).services.map((service) => service.name);
    const unknown = Object.keys(scale).find((name) => !known.includes(name));
    if (unknown) {
      const have = known.length
        ? `It has ${known.join(', ')}.`
        : 'It gets its services with the first deployment.';
      throw new PlatformError('not_found', `${slug} has no service named ${unknown}`, { hint: have });
    }
    const text = Object.entries(scale)
      .map(([name, count]) => `${name}=${count}`)
      .join(' ');
    await this.prisma.$transaction([
      ...Object.entries(scale).map(([name, count]) =>
        this.prisma.service.update({
          where: { appId_name: { appId: app.id, name } },
          data: { scale: count },
        }),
      ),
      this.prisma.event.create({
        data: {
          organizationId: app.organizationId,
          appId: app.id,
          actor: actor.user.id,
          kind: 'app.scaled',
          message: `scaled ${slug} ${text}`,
        },
      }),
    ]);
    await this.reconcile.request(app.id);
    await bumpRoutes(this.prisma); // a page for an app without instances says why: stopped, or being started
    this.bus.publish('routes');
    return this.#present(await this.apps.summary(app.id));
  }

  /** Removes the app with all that belongs to it. Nodes stop its instances when they see it gone. */
  async destroy(actor: UserActor, slug: string): Promise<void> {
    const app = await this.apps.require(actor.organization.id, slug);
    const nodeIds = await this.prisma.$transaction(async (tx) => {
      await lockApp(tx, app.id);
      const nodes = await this.nodes.nodesOf(tx, app.id);
      await tx.app.delete({ where: { id: app.id } });
      await tx.event.create({
        data: {
          organizationId: app.organizationId,
          actor: actor.user.id,
          kind: 'app.destroyed',
          message: `destroyed app ${slug}`,
        },
      });
      for (const nodeId of nodes) await this.nodes.bump(tx, nodeId);
      await bumpRoutes(tx);
      return nodes;
    });
    for (const nodeId of nodeIds) this.bus.publish(`node:${nodeId}`);
    this.bus.publish('routes');
    await rm(path.join(this.config.dataDir, 'git', `${app.id}.git`), { recursive: true, force: true });
  }

  #present(row: AppSummary): App {
    return {
      id: row.id,
      slug: row.slug,
      organization: row.organization.slug,
      url: appUrl(this.config, row.slug),
      gitUrl: `${apiUrl(this.config)}/git/${row.slug}.git`,
      status: statusOf(row),
      release: row.currentRelease?.number ?? null,
      services: row.services.map(({ name, scale }) => ({
        name,
        scale,
        healthy: row.instances.filter(
          (i) => i.service === name && i.releaseId === row.currentReleaseId && i.state === 'healthy',
        ).length,
      })),
      createdAt: row.createdAt.toISOString(),
    };
  }
}

function statusOf(row: AppSummary): App['status'] {
  if (row.deployments.length) return 'deploying';
  if (row.builds.length) return 'building';
  if (!row.currentReleaseId) return 'empty';
  if (row.services.every((service) => service.scale === 0)) return 'stopped';
  const serving = row.instances.filter((instance) => instance.releaseId === row.currentReleaseId);
  if (serving.some((instance) => instance.state === 'healthy')) return 'running';
  return serving.some((instance) => instance.state === 'backoff' || instance.state === 'failed')
    ? 'crashed'
    : 'deploying';
}
