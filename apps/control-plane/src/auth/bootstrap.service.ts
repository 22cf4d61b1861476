import { hostname } from 'node:os';
import { Injectable } from '@nestjs/common';
import type { ControlPlaneConfig } from '../config.ts';
import { newId, PrismaService } from '../database/prisma.service.ts';
import { hashToken } from './authentication.service.ts';

/** Makes what the first start needs: the organization, the admin with a token, this machine's node and router. */
@Injectable()
export class BootstrapService {
  constructor(
    private readonly prisma: PrismaService,
    private readonly config: ControlPlaneConfig,
  ) {}

  /** Can be repeated; tokens that were replaced in the data folder take effect at the next start. */
  async run(): Promise<void> {
    const organization = await this.prisma.organization.upsert({
      where: { slug: 'main' },
      create: { id: newId('organization'), slug: 'main' },
      update: {},
    });
    const user = await this.prisma.user.upsert({
      where: { name: 'admin' },
      create: { id: newId('user'), name: 'admin', operator: true },
      update: {},
    });
    const member = { userId: user.id, organizationId: organization.id };
    await this.prisma.membership.upsert({
      where: { userId_organizationId: member },
      create: { ...member, role: 'owner' },
      update: {},
    });
    const hash = hashToken(this.config.adminToken);
    await this.prisma.token.upsert({
      where: { userId_name: { userId: user.id, name: 'admin' } },
      create: { id: newId('token'), name: 'admin', hash, ...member },
      update: { hash },
    });
    await this.#machines();
    await this.prisma.counter.upsert({
      where: { name: 'routes' },
      create: { name: 'routes', value: 1 },
      update: {},
    });
  }

  async #machines(): Promise<void> {
    const nodeHash = hashToken(this.config.nodeToken);
    const routerHash = hashToken(this.config.routerToken);
    const name = hostname();
    await this.prisma.node.upsert({
      where: { tokenHash: nodeHash },
      create: { id: newId('node'), name, tokenHash: nodeHash },
      update: {},
    });
    await this.prisma.router.upsert({
      where: { tokenHash: routerHash },
      create: { id: newId('router'), name, tokenHash: routerHash },
      update: {},
    });
  }
}
