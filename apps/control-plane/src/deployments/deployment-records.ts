import type { Database } from '../database/prisma.service.ts';
import type { Prisma } from '../generated/prisma/client.ts';

/** How many of an instance's last log lines a failed deployment shows. */
const SHOWN_LOG_LINES = 20;

type DeploymentRow = Prisma.DeploymentGetPayload<object>;

/** Appends lines to what a deployment did. The app's lock must be held, so that the numbering has no gaps. */
export async function addDeploymentEvents(
  database: Database,
  deploymentId: string,
  texts: readonly string[],
): Promise<void> {
  const index = await database.deploymentEvent.count({ where: { deploymentId } });
  await database.deploymentEvent.createMany({
    data: texts.map((text, i) => ({ deploymentId, index: index + i, text })),
  });
}

/** Notes what a deployment waits for; returns false when that is what it said already. */
export async function recordProgress(
  database: Database,
  deploymentId: string,
  text: string,
): Promise<boolean> {
  const { count } = await database.deployment.updateMany({
    where: { id: deploymentId, OR: [{ message: null }, { NOT: { message: text } }] },
    data: { message: text },
  });
  if (count) await addDeploymentEvents(database, deploymentId, [text]);
  return count > 0;
}

/** Ends a deployment and says so in its events; a failed one shows the last log lines of the instance that failed it. */
export async function endDeployment(
  database: Database,
  id: string,
  how:
    | { status: 'succeeded' }
    | { status: 'superseded' }
    | { status: 'failed'; message: string; instance: string | null },
): Promise<DeploymentRow> {
  const message = how.status === 'failed' ? how.message : null;
  const row = await database.deployment.update({
    where: { id },
    data: { status: how.status, message, finishedAt: new Date() },
    include: { release: { select: { number: true } }, app: { select: { organizationId: true, slug: true } } },
  });
  const version = `v${row.release.number}`;
  const texts = {
    succeeded: [`Released ${version}`],
    superseded: [`${version} was replaced by a newer deployment before it was live`],
    failed:
      how.status === 'failed'
        ? [...(await lastLines(database, how.instance)), `${version} failed: ${how.message}`]
        : [],
  }[how.status];
  await addDeploymentEvents(database, id, texts);
  await database.event.create({
    data: {
      organizationId: row.app.organizationId,
      appId: row.appId,
      actor: row.createdBy,
      kind: `deployment.${how.status}`,
      message: message ?? texts[0] ?? '',
    },
  });
  return row;
}

async function lastLines(database: Database, instance: string | null): Promise<string[]> {
  if (!instance) return [];
  const rows = await database.logEntry.findMany({
    where: { instanceId: instance },
    orderBy: { id: 'desc' },
    take: SHOWN_LOG_LINES,
  });
  if (rows.length === 0) return [];
  return ['Last lines of the failed instance:', ...rows.reverse().map((row) => `    ${row.text}`)];
}
