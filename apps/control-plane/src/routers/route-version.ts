import type { Database } from '../database/prisma.service.ts';

/** Raises the route table's version inside the transaction that changes what routes say; returns the new one. */
export async function bumpRoutes(database: Database): Promise<number> {
  const { value } = await database.counter.update({
    where: { name: 'routes' },
    data: { value: { increment: 1 } },
  });
  return value;
}
