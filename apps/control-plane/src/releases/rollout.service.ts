import { Injectable } from '@nestjs/common';
import type { ConfigMap, Deployment, ServiceDefinition } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { AppRow } from '../apps/apps.repository.ts';
import type { UserActor } from '../auth/actor.ts';
import { type Database, lockApp, newId, PrismaService } from '../database/prisma.service.ts';
import { servicesOf } from '../deployments/app-facts.ts';
import { addDeploymentEvents, endDeployment } from '../deployments/deployment-records.ts';
import { DeploymentsService } from '../deployments/deployments.service.ts';
import { ReconcileQueue } from '../deployments/reconcile.queue.ts';
import { EventBus } from '../events/event-bus.ts';
import { bumpRoutes } from '../routers/route-version.ts';
import { VariablesService } from '../variables/variables.service.ts';
import { ImagesService } from './images.service.ts';

/** A deployment whose instances are not healthy by then has failed. */
const DEPLOYMENT_TIMEOUT_MS = 120_000;

interface NewRelease {
  repository: string;
  source: 'platform' | 'external';
  digest: string;
  services: ServiceDefinition[];
  reason: string;
  createdBy: string;
  buildId?: string;
  configVersion?: number;
}

/** Makes releases and starts their deployments: from builds, images, config changes and rollbacks. */
@Injectable()
export class RolloutService {
  constructor(
    private readonly prisma: PrismaService,
    private readonly variables: VariablesService,
    private readonly deployments: DeploymentsService,
    private readonly images: ImagesService,
    private readonly reconcile: ReconcileQueue,
    private readonly bus: EventBus,
  ) {}

  /** Releases what a build made. Can be repeated: a build has one release. */
  async releaseBuild(build: {
    id: string;
    appId: string;
    number: number;
    digest: string;
    services: ServiceDefinition[];
    createdBy: string;
  }): Promise<{ deploymentId: string }> {
    const existing = await this.prisma.release.findUnique({
      where: { buildId: build.id },
      include: { deployments: { take: 1, orderBy: { createdAt: 'asc' } } },
    });
    const deployment = existing?.deployments[0];
    if (deployment) return { deploymentId: deployment.id };
    const deploymentId = await this.#deploy(build.appId, async () => ({
      repository: `${build.appId}/app`,
      source: 'platform',
      digest: build.digest,
      services: build.services,
      reason: `build #${build.number}`,
      createdBy: build.createdBy,
      buildId: build.id,
    }));
    return { deploymentId };
  }

  /** Releases an image from the platform's registry or any other; it runs as the service `web`. Throws `not_found`. */
  async releaseImage(app: AppRow, reference: string, actor: UserActor): Promise<Deployment> {
    const image = await this.images.resolve(reference, actor);
    const id = await this.#deploy(app.id, async () => ({
      repository: image.repository,
      source: image.source,
      digest: image.digest,
      services: [{ name: 'web', argv: null }],
      reason: `image ${reference}`,
      createdBy: actor.user.id,
    }));
    return this.deployments.show(app.id, id);
  }

  /** Deploys an earlier release again as a new one, with the config that it had. Throws `not_found`, `conflict`. */
  async rollback(app: AppRow, wanted: number | undefined, actorId: string): Promise<Deployment> {
    const id = await this.#deploy(app.id, async (tx) => {
      const release = await this.#rollbackTarget(tx, app, wanted);
      return {
        repository: release.repository,
        source: release.source === 'platform' ? 'platform' : 'external',
        digest: release.digest,
        services: servicesOf(release),
        configVersion: release.configVersion,
        reason: `rollback to v${release.number}`,
        createdBy: actorId,
      };
    });
    return this.deployments.show(app.id, id);
  }

  /** Changes config variables and, when a release serves and something changed, deploys it anew with them. */
  async changeConfig(
    app: AppRow,
    change: { set: ConfigMap; unset: string[] },
    actorId: string,
  ): Promise<{ config: ConfigMap; deployment: Deployment | null }> {
    const names = [...Object.keys(change.set), ...change.unset].join(', ');
    const { variables, deploymentId } = await this.prisma.$transaction(async (tx) => {
      await requireLock(tx, app.id);
      const result = await this.variables.change(tx, app.id, change);
      if (!result.changed) return { ...result, deploymentId: null };
      await tx.event.create({
        data: {
          organizationId: app.organizationId,
          appId: app.id,
          actor: actorId,
          kind: 'config.changed',
          message: names,
        },
      });
      return { ...result, deploymentId: await this.redeploy(tx, app.id, `config change: ${names}`, actorId) };
    });
    const deployment = deploymentId ? await this.#announce(app.id, deploymentId) : null;
    return { config: variables, deployment };
  }

  /**
   * Inside a transaction that holds the app's lock: deploys the newest release again with the newest config, because
   * something that a release depends on changed. Null when nothing was released yet. Call `announce` after the commit.
   */
  async redeploy(tx: Database, appId: string, reason: string, createdBy: string): Promise<string | null> {
    const app = await tx.app.findUniqueOrThrow({
      where: { id: appId },
      include: {
        currentRelease: true,
        deployments: { where: { status: 'running' }, include: { release: true }, take: 1 },
      },
    });
    const base = app.deployments[0]?.release ?? app.currentRelease;
    if (!base) return null;
    const source = base.source === 'platform' ? ('platform' as const) : ('external' as const);
    const { repository, digest } = base;
    return this.#create(tx, appId, {
      repository,
      source,
      digest,
      services: servicesOf(base),
      reason,
      createdBy,
    });
  }

  /** Sets a deployment in motion after the transaction that made it. */
  async announce(appId: string, deploymentId: string): Promise<Deployment> {
    return this.#announce(appId, deploymentId);
  }

  async #deploy(appId: string, describe: (tx: Database) => Promise<NewRelease>): Promise<string> {
    const id = await this.prisma.$transaction(async (tx) => {
      await requireLock(tx, appId);
      return this.#create(tx, appId, await describe(tx));
    });
    await this.#announce(appId, id);
    return id;
  }

  async #announce(appId: string, deploymentId: string): Promise<Deployment> {
    await this.reconcile.request(appId);
    this.bus.publish('routes');
    this.bus.publish(`app:${appId}`);
    return this.deployments.show(appId, deploymentId);
  }

  /** Writes release and deployment; a deployment that was running is superseded. The app's lock must be held. */
  async #create(tx: Database, appId: string, release: NewRelease): Promise<string> {
    const last = await tx.release.findFirst({
      where: { appId },
      orderBy: { number: 'desc' },
      select: { number: true },
    });
    const configVersion = release.configVersion ?? (await this.#latestConfig(tx, appId));
    const { services, configVersion: _, ...rest } = release;
    const row = await tx.release.create({
      data: {
        ...rest,
        id: newId('release'),
        appId,
        number: (last?.number ?? 0) + 1,
        configVersion,
        services,
      },
    });
    for (const { name } of services) {
      const scale = name === 'web' ? 1 : 0;
      await tx.service.upsert({
        where: { appId_name: { appId, name } },
        create: { appId, name, scale },
        update: {},
      });
    }
    const running = await tx.deployment.findMany({
      where: { appId, status: 'running' },
      select: { id: true },
    });
    for (const { id } of running) await endDeployment(tx, id, { status: 'superseded' });
    const deployment = await tx.deployment.create({
      data: {
        id: newId('deployment'),
        appId,
        releaseId: row.id,
        status: 'running',
        createdBy: release.createdBy,
        deadlineAt: new Date(Date.now() + DEPLOYMENT_TIMEOUT_MS),
      },
    });
    await addDeploymentEvents(tx, deployment.id, [`Deploying v${row.number} (${release.reason})`]);
    await bumpRoutes(tx);
    return deployment.id;
  }

  async #latestConfig(tx: Database, appId: string): Promise<number> {
    await this.variables.ensureVersion(tx, appId);
    return (await this.variables.latest(appId, tx)).version;
  }

  async #rollbackTarget(tx: Database, app: AppRow, wanted: number | undefined) {
    const current = await tx.app.findUniqueOrThrow({
      where: { id: app.id },
      include: { currentRelease: true },
    });
    const serving = current.currentRelease;
    const successful = { deployments: { some: { status: 'succeeded' as const } } };
    const release = await tx.release.findFirst({
      where:
        wanted === undefined
          ? { appId: app.id, number: { lt: serving?.number ?? 0 }, ...successful }
          : { appId: app.id, number: wanted },
      orderBy: { number: 'desc' },
    });
    if (!release) {
      const what = wanted === undefined ? 'no earlier release that was live' : `no release v${wanted}`;
      throw new PlatformError('not_found', `${app.slug} has ${what}`, {
        hint: 'See them with `gantry releases`.',
      });
    }
    if (release.id === serving?.id)
      throw new PlatformError('conflict', `v${release.number} is what serves now`);
    return release;
  }
}

async function requireLock(tx: Database, appId: string): Promise<void> {
  if (!(await lockApp(tx, appId))) throw new PlatformError('not_found', 'the app was destroyed meanwhile');
}
