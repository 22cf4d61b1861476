import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import { randomText } from '#libs/host';
import { Prisma, PrismaClient } from '../generated/prisma/client.ts';

/** The connection to PostgreSQL. Only repositories and the reconciler use it. */
@Injectable()
export class PrismaService extends PrismaClient implements OnModuleDestroy {
  constructor(databaseUrl: string) {
    super({ adapter: new PrismaPg({ connectionString: databaseUrl, max: 20 }) });
  }

  async onModuleDestroy(): Promise<void> {
    await this.$disconnect();
  }
}

/** What repositories take: the client or a transaction of it. */
export type Database = Prisma.TransactionClient;

const ID_PREFIX = {
  organization: 'org',
  user: 'usr',
  token: 'tok',
  app: 'app',
  build: 'bld',
  release: 'rel',
  deployment: 'dpl',
  instance: 'ins',
  node: 'nod',
  router: 'rtr',
  volume: 'vol',
} as const;

/** A new id of a kind, e.g. `app_…`: 20 random characters, 103 bits. */
export function newId(kind: keyof typeof ID_PREFIX): string {
  return `${ID_PREFIX[kind]}_${randomText(20)}`;
}

/** True for a violated unique constraint (Prisma P2002). */
export function isUniqueViolation(error: unknown): boolean {
  return error instanceof Prisma.PrismaClientKnownRequestError && error.code === 'P2002';
}

/** Holds the app's row until the transaction ends, so that two changes of one app never interleave. */
export async function lockApp(database: Database, appId: string): Promise<boolean> {
  const rows = await database.$queryRaw<
    { id: string }[]
  >`SELECT id FROM "App" WHERE id = ${appId} FOR UPDATE`;
  return rows.length > 0;
}
