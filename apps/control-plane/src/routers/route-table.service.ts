import { Inject, Injectable } from '@nestjs/common';
import type { Route, RouterReport, RouteTable } from '#libs/contract';
import type { ControlPlaneConfig } from '../config.ts';
import { PrismaService } from '../database/prisma.service.ts';
import { ROUTED_SERVICE } from '../deployments/app-facts.ts';
import { ReconcileQueue } from '../deployments/reconcile.queue.ts';
import { EventBus } from '../events/event-bus.ts';
import type { Prisma } from '../generated/prisma/client.ts';
import { CONFIG } from '../tokens.ts';

const LOOK_AGAIN_MS = 5_000;

const ROUTES_VERSION = { where: { name: 'routes' } } as const;
const parts = {
  services: { where: { name: ROUTED_SERVICE } },
  deployments: { where: { status: 'running' }, select: { id: true }, take: 1 },
  instances: {
    where: { goneAt: null, wanted: true, drainingAt: null, service: ROUTED_SERVICE },
    orderBy: { id: 'asc' },
  },
} satisfies Prisma.AppInclude;
type Row = Prisma.AppGetPayload<{ include: typeof parts }>;

/** What routers serve, and what they say of it. */
@Injectable()
export class RouteTableService {
  constructor(
    private readonly prisma: PrismaService,
    private readonly bus: EventBus,
    private readonly reconcile: ReconcileQueue,
    @Inject(CONFIG) private readonly config: ControlPlaneConfig,
  ) {}

  /** Takes a router's report; answers the table once its version differs from the reported one, or null in the end. */
  async sync(
    routerId: string,
    report: RouterReport,
    waitSeconds: number,
    gone: AbortSignal,
  ): Promise<RouteTable | null> {
    await this.#take(routerId, report);
    const signal = AbortSignal.any([gone, AbortSignal.timeout(waitSeconds * 1000 + 1)]);
    for await (const _ of this.bus.watch('routes', { everyMs: LOOK_AGAIN_MS, signal })) {
      if ((await this.#version()) !== report.appliedVersion) return this.#table();
    }
    return null;
  }

  async #take(routerId: string, report: RouterReport): Promise<void> {
    await this.prisma.router.update({
      where: { id: routerId },
      data: {
        name: report.router,
        appliedVersion: report.appliedVersion,
        busy: report.busy,
        lastSeenAt: new Date(),
      },
    });
    const waiting = await this.prisma.instance.findMany({
      where: {
        goneAt: null,
        wanted: true,
        drainVersion: { lte: report.appliedVersion },
        id: { notIn: report.busy },
      },
      select: { appId: true },
      distinct: ['appId'],
    });
    for (const { appId } of waiting) await this.reconcile.request(appId);
  }

  async #version(): Promise<number> {
    return (await this.prisma.counter.findUniqueOrThrow(ROUTES_VERSION)).value;
  }

  /**
   * Read as of one moment. Relations are queries of their own; a switch of releases between them would show an app with
   * its old release and only the new one's instances: no targets at all.
   */
  async #table(): Promise<RouteTable> {
    const [version, apps] = await this.prisma.$transaction(
      [
        this.prisma.counter.findUniqueOrThrow(ROUTES_VERSION),
        this.prisma.app.findMany({ include: parts, orderBy: { slug: 'asc' } }),
      ],
      { isolationLevel: 'RepeatableRead' },
    );
    return { version: version.value, routes: apps.map((app) => this.#route(app)) };
  }

  #route(app: Row): Route {
    const serving = app.instances.filter((instance) => instance.releaseId === app.currentReleaseId);
    const targets = serving.flatMap(({ id, state, host, port }) =>
      state === 'healthy' && host !== null && port !== null ? [{ instance: id, host, port }] : [],
    );
    return {
      host: `${app.slug}.${this.config.domain}`,
      app: { id: app.id, slug: app.slug },
      service: ROUTED_SERVICE,
      targets,
      state: targets.length ? 'serving' : stateWithoutTargets(app, serving),
    };
  }
}

function stateWithoutTargets(app: Row, serving: Row['instances']): Route['state'] {
  if (!app.currentReleaseId) return app.deployments.length ? 'deploying' : 'empty';
  if ((app.services[0]?.scale ?? 0) === 0) return 'stopped';
  return serving.some((instance) => instance.state === 'backoff' || instance.state === 'failed')
    ? 'crashed'
    : 'deploying';
}
