import { Injectable } from '@nestjs/common';
import {
  type DesiredBuild,
  type DesiredInstance,
  type DesiredState,
  Digest,
  type Resources,
} from '#libs/contract';
import { BUILD_TIMEOUT_SECONDS } from '../builds/limits.ts';
import { PrismaService } from '../database/prisma.service.ts';
import { ROUTED_SERVICE, servicesOf } from '../deployments/app-facts.ts';
import type { Prisma } from '../generated/prisma/client.ts';
import { VariablesService } from '../variables/variables.service.ts';

/** What an instance gets unless its service says otherwise. */
export const DEFAULT_RESOURCES: Resources = { memoryBytes: 512 * 2 ** 20, cpus: 1, pids: 512 };
const BUILD_RESOURCES: Resources = { memoryBytes: 2 * 2 ** 30, cpus: 2, pids: 2048 };
const START_TIMEOUT_SECONDS = 60;
const STOP_GRACE_SECONDS = 10;
/** Each instance has its own network, so every app listens on the same port. */
const APP_PORT = 8080;

const instanceParts = {
  app: { include: { volumes: { orderBy: { name: 'asc' } } } },
  release: true,
} satisfies Prisma.InstanceInclude;
type InstanceRow = Prisma.InstanceGetPayload<{ include: typeof instanceParts }>;

/** Puts together the whole of what a node should do. */
@Injectable()
export class DesiredStateService {
  constructor(
    private readonly prisma: PrismaService,
    private readonly variables: VariablesService,
  ) {}

  async of(nodeId: string): Promise<DesiredState> {
    // The version is read first: what is read after it is at least as new, so a change in between is only seen twice.
    const { desiredVersion } = await this.prisma.node.findUniqueOrThrow({ where: { id: nodeId } });
    const [instances, builds, volumes] = await Promise.all([
      this.#instances(nodeId),
      this.#builds(nodeId),
      this.prisma.volume.findMany({ where: { nodeId }, orderBy: { id: 'asc' } }),
    ]);
    return {
      version: desiredVersion,
      instances,
      builds,
      volumes: volumes.map(({ id, name, appId }) => ({ id, name, app: { id: appId } })),
    };
  }

  async #instances(nodeId: string): Promise<DesiredInstance[]> {
    const rows = await this.prisma.instance.findMany({
      where: { nodeId, goneAt: null, wanted: true },
      include: instanceParts,
      orderBy: { id: 'asc' },
    });
    const configs = new Map<string, Promise<Record<string, string>>>();
    const configOf = (row: InstanceRow) => {
      const key = `${row.appId} ${row.release.configVersion}`;
      const known = configs.get(key) ?? this.variables.at(row.appId, row.release.configVersion);
      configs.set(key, known);
      return known;
    };
    return Promise.all(rows.map(async (row) => toDesired(row, await configOf(row))));
  }

  async #builds(nodeId: string): Promise<DesiredBuild[]> {
    const rows = await this.prisma.build.findMany({
      where: { nodeId, status: 'running' },
      include: { app: true },
      orderBy: { createdAt: 'asc' },
    });
    return Promise.all(
      rows.map(async (row) => ({
        id: row.id,
        number: row.number,
        organization: { id: row.app.organizationId },
        app: { id: row.appId, slug: row.app.slug },
        sourceDateEpoch: row.sourceDateEpoch,
        commit: row.commit,
        repository: `${row.appId}/app`,
        env: (await this.variables.latest(row.appId)).variables,
        resources: BUILD_RESOURCES,
        timeoutSeconds: BUILD_TIMEOUT_SECONDS,
      })),
    );
  }
}

function toDesired(row: InstanceRow, env: Record<string, string>): DesiredInstance {
  const definition = servicesOf(row.release).find((service) => service.name === row.service);
  return {
    id: row.id,
    generation: row.generation,
    organization: { id: row.app.organizationId },
    app: { id: row.appId, slug: row.app.slug },
    service: row.service,
    release: row.release.number,
    image: {
      repository: row.release.repository,
      digest: Digest.parse(row.release.digest),
      source: row.release.source === 'platform' ? 'platform' : 'external',
    },
    argv: definition?.argv ?? null,
    env,
    port: APP_PORT,
    resources: DEFAULT_RESOURCES,
    health: {
      kind: row.service === ROUTED_SERVICE ? 'tcp' : 'none',
      startTimeoutSeconds: START_TIMEOUT_SECONDS,
    },
    volumes: row.app.volumes.map(({ id, name, mountPath }) => ({ id, name, mountPath })),
    stopGraceSeconds: STOP_GRACE_SECONDS,
  };
}
