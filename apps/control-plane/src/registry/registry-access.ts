import { Injectable } from '@nestjs/common';
import type { Permission } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Authorize, RegistryAction } from '#libs/registry';
import { AuthenticationService } from '../auth/authentication.service.ts';
import { assertAllowed } from '../auth/authorize.ts';
import { PrismaService } from '../database/prisma.service.ts';

const PERMISSION: Record<RegistryAction, Permission> = { pull: 'read', push: 'deploy', delete: 'destroy' };

/**
 * Who may do what in the platform's registry. Nodes may do everything: they push what they built and pull what they
 * run. People work on `<app id>/…` of their organization's apps, as far as their role goes.
 */
@Injectable()
export class RegistryAccess {
  constructor(
    private readonly authentication: AuthenticationService,
    private readonly prisma: PrismaService,
  ) {}

  readonly authorize: Authorize = async ({ authorization, repository, action }) => {
    const actor = await this.authentication.authenticate(authorization);
    if (!actor) return 'unauthenticated';
    if (actor.kind === 'node') return true;
    if (actor.kind !== 'user') return false;
    if (repository === null) return true;
    if (!isAllowed(() => assertAllowed(actor, { audience: 'user', permission: PERMISSION[action] })))
      return false;
    const [id, ...rest] = repository.split('/');
    if (!id || rest.length === 0) return false;
    const where = { id, organizationId: actor.organization.id };
    return (await this.prisma.app.findFirst({ where, select: { id: true } })) !== null;
  };
}

function isAllowed(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof PlatformError) return false;
    throw error;
  }
}
