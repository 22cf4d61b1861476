import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { PrismaService } from '../database/prisma.service.ts';
import type { Actor } from './actor.ts';

const LAST_USED_RESOLUTION_MS = 60_000;

/** SHA-256 of a token's secret, hex: all that the database knows of it. Secrets are random, so no slow hash is needed. */
export function hashToken(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** The secret in an Authorization header: Bearer, or Basic with the token as password (git, OCI clients). */
export function secretFrom(authorization: string | undefined): string | undefined {
  const [scheme, value] = (authorization ?? '').split(' ', 2);
  if (!scheme || !value) return undefined;
  if (/^bearer$/i.test(scheme)) return value;
  if (!/^basic$/i.test(scheme)) return undefined;
  const pair = Buffer.from(value, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon < 0 ? undefined : pair.slice(colon + 1);
}

@Injectable()
export class AuthenticationService {
  constructor(private readonly prisma: PrismaService) {}

  /** Who the header's token is, or undefined when it is missing or unknown. */
  async authenticate(authorization: string | undefined): Promise<Actor | undefined> {
    const secret = secretFrom(authorization);
    if (!secret) return undefined;
    const hash = hashToken(secret);
    return (await this.#user(hash)) ?? (await this.#machine(hash));
  }

  async #user(hash: string): Promise<Actor | undefined> {
    const token = await this.prisma.token.findUnique({
      where: { hash },
      include: { user: { include: { memberships: true } }, organization: true },
    });
    const membership = token?.user.memberships.find((m) => m.organizationId === token.organizationId);
    if (!token || !membership) return undefined;
    if (Date.now() - (token.lastUsedAt?.getTime() ?? 0) > LAST_USED_RESOLUTION_MS) {
      await this.prisma.token.updateMany({ where: { id: token.id }, data: { lastUsedAt: new Date() } });
    }
    const { id, name, operator } = token.user;
    const organization = { id: token.organization.id, slug: token.organization.slug };
    return { kind: 'user', user: { id, name, operator }, organization, role: membership.role };
  }

  async #machine(tokenHash: string): Promise<Actor | undefined> {
    const node = await this.prisma.node.findUnique({ where: { tokenHash }, select: { id: true } });
    if (node) return { kind: 'node', nodeId: node.id };
    const router = await this.prisma.router.findUnique({ where: { tokenHash }, select: { id: true } });
    return router ? { kind: 'router', routerId: router.id } : undefined;
  }
}
