import { Injectable } from '@nestjs/common';
import { Digest, type Release } from '#libs/contract';
import type { AppRow } from '../apps/apps.repository.ts';
import { PrismaService } from '../database/prisma.service.ts';
import { servicesOf } from '../deployments/app-facts.ts';

@Injectable()
export class ReleasesRepository {
  constructor(private readonly prisma: PrismaService) {}

  /** Newest first. */
  async list(app: AppRow, limit: number): Promise<Release[]> {
    const rows = await this.prisma.release.findMany({
      where: { appId: app.id },
      orderBy: { number: 'desc' },
      take: limit,
    });
    return rows.map((row) => ({
      id: row.id,
      number: row.number,
      image: `${row.repository}@${row.digest}`,
      digest: Digest.parse(row.digest),
      reason: row.reason,
      services: servicesOf(row),
      current: row.id === app.currentReleaseId,
      createdAt: row.createdAt.toISOString(),
    }));
  }
}
