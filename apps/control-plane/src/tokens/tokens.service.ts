import { Injectable } from '@nestjs/common';
import type { Token } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { randomSecret } from '#libs/host';
import type { UserActor } from '../auth/actor.ts';
import { hashToken } from '../auth/authentication.service.ts';
import { isUniqueViolation, newId, PrismaService } from '../database/prisma.service.ts';

/** API tokens of the person who asks, for the organization of the token that they ask with. */
@Injectable()
export class TokensService {
  constructor(private readonly prisma: PrismaService) {}

  /** The secret is in the answer and nowhere else. Throws `conflict` for a taken name. */
  async create(actor: UserActor, name: string): Promise<Token & { secret: string }> {
    const secret = `gantry_${randomSecret()}`;
    const owner = { userId: actor.user.id, organizationId: actor.organization.id };
    try {
      const row = await this.prisma.token.create({
        data: { id: newId('token'), name, hash: hashToken(secret), ...owner },
      });
      return { ...present(row), secret };
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new PlatformError('conflict', `you have a token named ${name} already`);
    }
  }

  async list(actor: UserActor): Promise<{ items: Token[] }> {
    const rows = await this.prisma.token.findMany({
      where: { userId: actor.user.id },
      orderBy: { createdAt: 'asc' },
    });
    return { items: rows.map(present) };
  }

  /** Throws `not_found` for a token that is not theirs. */
  async revoke(actor: UserActor, id: string): Promise<void> {
    const { count } = await this.prisma.token.deleteMany({ where: { id, userId: actor.user.id } });
    if (count === 0) throw new PlatformError('not_found', `you have no token ${id}`);
  }
}

function present(row: { id: string; name: string; createdAt: Date; lastUsedAt: Date | null }): Token {
  return {
    id: row.id,
    name: row.name,
    createdAt: row.createdAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  };
}
