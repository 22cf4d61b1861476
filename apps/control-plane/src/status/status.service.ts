import { Inject, Injectable } from '@nestjs/common';
import { type PlatformStatus, VERSION } from '#libs/contract';
import type { ControlPlaneConfig } from '../config.ts';
import { PrismaService } from '../database/prisma.service.ts';
import { CONFIG } from '../tokens.ts';

/** An agent or router that was not heard of for this long counts as down; both speak at least every 30 s. */
const SILENT_AFTER_MS = 40_000;

@Injectable()
export class StatusService {
  constructor(
    private readonly prisma: PrismaService,
    @Inject(CONFIG) private readonly config: ControlPlaneConfig,
  ) {}

  async show(organizationId: string): Promise<PlatformStatus> {
    const [nodes, routers, apps, instances] = await Promise.all([
      this.prisma.node.findMany({ orderBy: { createdAt: 'asc' } }),
      this.prisma.router.findMany(),
      this.prisma.app.count({ where: { organizationId } }),
      this.prisma.instance.count({ where: { goneAt: null, app: { organizationId } } }),
    ]);
    const components = [
      { name: 'control-plane', status: 'up' as const, message: `version ${VERSION}` },
      ...nodes.map((node) => component(`node ${node.name}`, node.lastSeenAt)),
      ...routers.map((router) => component(`router ${router.name}`, router.lastSeenAt)),
    ];
    const ready = components.every((part) => part.status === 'up');
    return { version: VERSION, domain: this.config.domain, ready, components, apps, instances };
  }
}

function component(name: string, lastSeenAt: Date | null): PlatformStatus['components'][number] {
  const silentMs = lastSeenAt ? Date.now() - lastSeenAt.getTime() : null;
  if (silentMs === null) return { name, status: 'down', message: 'never seen' };
  const message = `last seen ${Math.round(silentMs / 1000)} s ago`;
  return { name, status: silentMs < SILENT_AFTER_MS ? 'up' : 'down', message };
}
