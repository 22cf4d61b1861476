import { Injectable } from '@nestjs/common';
import { Exit, type Instance } from '#libs/contract';
import { PrismaService } from '../database/prisma.service.ts';

@Injectable()
export class InstancesRepository {
  constructor(private readonly prisma: PrismaService) {}

  /** Those that nodes have or should have, by service and age. */
  async list(appId: string): Promise<Instance[]> {
    const rows = await this.prisma.instance.findMany({
      where: { appId, goneAt: null },
      include: { release: { select: { number: true } }, node: { select: { name: true } } },
      orderBy: [{ service: 'asc' }, { createdAt: 'asc' }],
    });
    return rows.map((row) => ({
      id: row.id,
      service: row.service,
      release: row.release.number,
      node: row.node.name,
      state: row.wanted ? row.state : 'stopping',
      draining: row.drainingAt !== null,
      restarts: row.restarts,
      address: row.host !== null && row.port !== null ? { host: row.host, port: row.port } : null,
      lastExit: row.lastExit === null ? null : Exit.parse(row.lastExit),
      message: row.message,
      startedAt: row.startedAt?.toISOString() ?? null,
      createdAt: row.createdAt.toISOString(),
    }));
  }
}
