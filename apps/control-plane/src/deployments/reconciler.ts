import { Inject, Injectable } from '@nestjs/common';
import { PlatformError } from '#libs/errors';
import type { Logger } from '#libs/log';
import { type AppPlan, type AppStep, planApp } from '#libs/scheduler';
import { type Database, lockApp, newId, PrismaService } from '../database/prisma.service.ts';
import { EventBus, type Topic } from '../events/event-bus.ts';
import { NodesService } from '../nodes/nodes.service.ts';
import { bumpRoutes } from '../routers/route-version.ts';
import { LOGGER } from '../tokens.ts';
import { readAppFacts } from './app-facts.ts';
import { endDeployment, recordProgress } from './deployment-records.ts';
import { ReconcileQueue } from './reconcile.queue.ts';

/** Plans follow one another until nothing changes; a plan that never settles is a bug, not a reason to spin. */
const MAX_ROUNDS = 8;

interface Round {
  tx: Database;
  appId: string;
  deploymentId: string | null;
  topics: Set<Topic>;
  /** The instances that this round could not place, by reason. */
  refused: Set<string>;
}

/** Brings an app to what is desired: reads the facts, asks the pure planner, writes what follows, tells who must know. */
@Injectable()
export class Reconciler {
  readonly #execute: {
    [K in AppStep['kind']]: (step: Extract<AppStep, { kind: K }>, round: Round) => Promise<void>;
  } = {
    'create-instance': (step, round) => this.#createInstance(step, round),
    'drain-instance': (step, round) => this.#drainInstance(step, round),
    'stop-instance': (step, round) => this.#stopInstance(step, round),
    'succeed-deployment': (_, round) => this.#succeed(round),
    'fail-deployment': (step, round) => this.#fail(step, round),
  };

  readonly #listeningSinceMs = Date.now();

  constructor(
    private readonly prisma: PrismaService,
    private readonly nodes: NodesService,
    private readonly bus: EventBus,
    private readonly queue: ReconcileQueue,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  /** Can be called at any time, by several processes at once: the app's row is locked meanwhile. */
  async reconcile(appId: string): Promise<void> {
    const topics = new Set<Topic>();
    const wakeAtMs = await this.prisma.$transaction(
      async (tx) => {
        if (!(await lockApp(tx, appId))) return null; // destroyed meanwhile
        return this.#settle(tx, appId, topics);
      },
      { timeout: 30_000 },
    );
    for (const topic of topics) this.bus.publish(topic);
    if (wakeAtMs !== null) await this.queue.request(appId, Math.max(50, wakeAtMs - Date.now()));
  }

  /** Apps that may need a look even if no message came: something is deploying, draining or not as it should be. */
  async appsToSweep(): Promise<string[]> {
    const rows = await this.prisma.app.findMany({
      where: {
        OR: [
          { deployments: { some: { status: { in: ['pending', 'running'] } } } },
          {
            instances: { some: { goneAt: null, NOT: { state: 'healthy', drainingAt: null, wanted: true } } },
          },
          {
            currentReleaseId: { not: null },
            services: { some: { scale: { gt: 0 } } },
            instances: { none: { goneAt: null } },
          },
          {
            instances: {
              some: { goneAt: null, node: { lastSeenAt: { lt: new Date(Date.now() - 60_000) } } },
            },
          },
        ],
      },
      select: { id: true },
    });
    return rows.map((row) => row.id);
  }

  async #settle(tx: Database, appId: string, topics: Set<Topic>): Promise<number | null> {
    let plan: AppPlan | undefined;
    for (let i = 0; i < MAX_ROUNDS; i++) {
      const facts = await readAppFacts(tx, appId, { nowMs: Date.now(), sinceMs: this.#listeningSinceMs });
      const round: Round = { tx, appId, deploymentId: facts.deploymentId, topics, refused: new Set() };
      plan = planApp(facts);
      for (const step of plan.steps) await this.#run(step, round);
      if (round.deploymentId && plan.waitingFor) {
        const refused = [...round.refused].join('; ');
        const text = refused ? `Cannot place instances: ${refused}` : `Waiting for ${plan.waitingFor}`;
        if (await recordProgress(tx, round.deploymentId, text))
          topics.add(`deployment:${round.deploymentId}`);
      }
      if (plan.steps.length === 0 || plan.steps.every((step) => step.kind === 'create-instance')) break;
    }
    return plan?.wakeAtMs ?? null;
  }

  async #run<K extends AppStep['kind']>(step: Extract<AppStep, { kind: K }>, round: Round): Promise<void> {
    const execute = this.#execute[step.kind as K];
    await execute(step, round);
  }

  async #createInstance(step: Extract<AppStep, { kind: 'create-instance' }>, round: Round): Promise<void> {
    const placed = await this.nodes.place(round.tx, { appId: round.appId, service: step.service });
    if ('refused' in placed) {
      round.refused.add(placed.refused);
      return;
    }
    await round.tx.instance.create({
      data: {
        id: newId('instance'),
        appId: round.appId,
        service: step.service,
        releaseId: step.release,
        nodeId: placed.node,
      },
    });
    await this.nodes.bump(round.tx, placed.node);
    round.topics.add(`node:${placed.node}`);
  }

  async #drainInstance(step: Extract<AppStep, { kind: 'drain-instance' }>, round: Round): Promise<void> {
    const drainVersion = await bumpRoutes(round.tx);
    await round.tx.instance.update({
      where: { id: step.instance },
      data: { drainingAt: new Date(), drainVersion },
    });
    round.topics.add('routes');
  }

  async #stopInstance(step: Extract<AppStep, { kind: 'stop-instance' }>, round: Round): Promise<void> {
    const row = await round.tx.instance.update({ where: { id: step.instance }, data: { wanted: false } });
    await this.nodes.bump(round.tx, row.nodeId);
    round.topics.add(`node:${row.nodeId}`);
  }

  async #succeed(round: Round): Promise<void> {
    const deployment = await endDeployment(round.tx, requireDeployment(round), { status: 'succeeded' });
    await round.tx.app.update({
      where: { id: round.appId },
      data: { currentReleaseId: deployment.releaseId },
    });
    await bumpRoutes(round.tx);
    round.topics.add('routes').add(`deployment:${deployment.id}`).add(`app:${round.appId}`);
  }

  async #fail(step: Extract<AppStep, { kind: 'fail-deployment' }>, round: Round): Promise<void> {
    const id = requireDeployment(round);
    await endDeployment(round.tx, id, { status: 'failed', message: step.reason, instance: step.instance });
    await bumpRoutes(round.tx);
    this.log.info({ appId: round.appId, deployment: id, reason: step.reason }, 'deployment failed');
    round.topics.add('routes').add(`deployment:${id}`).add(`app:${round.appId}`);
  }
}

function requireDeployment(round: Round): string {
  if (round.deploymentId) return round.deploymentId;
  throw new PlatformError('internal', `the plan of ${round.appId} ends a deployment that is not there`);
}
