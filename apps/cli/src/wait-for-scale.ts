import { type Instance, userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from './cli.ts';
import type { Target } from './target.ts';
import { instanceName, plain } from './text.ts';

const POLL_MS = 750;
/** How long instances may take before the wait ends; the platform itself goes on. */
const LIMIT_MS = 5 * 60_000;
/** An instance that ended this often in a row does not come up. */
const HOPELESS_RESTARTS = 3;

/**
 * Waits until each service has as many healthy instances as wanted and no others. Throws `deploy_failed` when one
 * cannot come up, `timeout` after five minutes. A control plane that is away for a moment is waited for.
 */
export async function waitForScale(
  cli: Cli,
  { api, app }: Target,
  wanted: Record<string, number>,
): Promise<void> {
  const startedAt = cli.clock.now();
  const said = new Map<string, string>();
  for (;;) {
    const instances = await listInstances();
    const open = Object.entries(wanted).filter(([service, count]) => {
      const progress = measure(instances, service);
      const line = `  ${service}: ${progress.healthy} of ${count} healthy${progress.others ? `, ${progress.others} on the way` : ''}`;
      if (said.get(service) !== line) cli.terminal.note(line);
      said.set(service, line);
      return progress.healthy !== count || progress.others > 0;
    });
    if (open.length === 0) return;
    for (const [service, count] of open) if (count > 0) rejectHopeless(instances, service, app);
    if (cli.clock.now() - startedAt >= LIMIT_MS) throw tooSlow(open.map(([service]) => service));
    cli.terminal.startSpinner('scaling');
    await cli.clock.sleep(POLL_MS, cli.signal);
  }

  /** The instances, or undefined while the control plane restarts. */
  async function listInstances(): Promise<Instance[] | undefined> {
    try {
      return (await api.call(userEndpoints.listInstances, { params: { app } })).items;
    } catch (error) {
      const isOver = cli.clock.now() - startedAt >= LIMIT_MS;
      if (error instanceof PlatformError && error.code === 'unavailable' && !isOver) return undefined;
      throw error;
    }
  }

  function tooSlow(services: string[]): PlatformError {
    return new PlatformError(
      'timeout',
      `${services.join(', ')} of ${app} did not get there in ${LIMIT_MS / 60_000} min`,
      {
        hint: `The platform keeps trying. See \`gantry ps --app ${app}\` and \`gantry logs --app ${app}\`.`,
      },
    );
  }
}

function measure(instances: Instance[] | undefined, service: string): { healthy: number; others: number } {
  const present = (instances ?? []).filter((i) => i.service === service && i.state !== 'stopped');
  const healthy = present.filter((i) => i.state === 'healthy' && !i.draining).length;
  return { healthy, others: instances ? present.length - healthy : 1 };
}

function rejectHopeless(instances: Instance[] | undefined, service: string, app: string): void {
  const hopeless = instances?.find(
    (i) =>
      i.service === service &&
      !i.draining &&
      (i.state === 'failed' || (i.state === 'backoff' && i.restarts >= HOPELESS_RESTARTS)),
  );
  if (!hopeless) return;
  const { message, lastExit } = hopeless;
  const why = message ?? (lastExit ? `its process ends with ${lastExit.code}` : 'no reason given');
  throw new PlatformError(
    'deploy_failed',
    `${instanceName(hopeless)} of ${app} does not come up: ${plain(why)}`,
    {
      hint: `Read \`gantry logs --app ${app} --instance ${instanceName(hopeless)}\`. The scale stays as set.`,
    },
  );
}
