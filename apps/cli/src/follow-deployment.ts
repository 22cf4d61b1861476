import { type Deployment, userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from './cli.ts';
import { readThroughRestarts } from './restarts.ts';
import type { Target } from './target.ts';
import { plain } from './text.ts';
import { shouldWait, type WaitOption } from './verb.ts';

/**
 * Follows a deployment to its end unless told not to, with its steps on stderr, then reports it: on stdout the
 * deployment as JSON, or its release and address. Throws `deploy_failed` with the platform's reason, and `cancelled`
 * when a newer deployment took its place.
 */
export async function finishDeployment(
  cli: Cli,
  target: Target,
  deployment: Deployment,
  options: WaitOption,
): Promise<Deployment> {
  if (!shouldWait(options)) {
    cli.terminal.note(
      `Deploying v${deployment.release} of ${target.app}; \`gantry ps\` shows how far it is.`,
    );
    return deployment;
  }
  cli.terminal.note(`Deploying v${deployment.release} of ${target.app}`);
  const ended = await follow(cli, target, deployment);
  if (ended.status === 'succeeded') return ended;
  const why = ended.message ?? 'the platform gave no reason';
  if (ended.status === 'superseded') {
    throw new PlatformError('cancelled', `v${ended.release} of ${target.app} was not put in place: ${why}`, {
      details: { deployment: ended.id },
      hint: 'A newer deployment took its place; `gantry releases` shows them.',
    });
  }
  throw new PlatformError(
    'deploy_failed',
    `v${ended.release} of ${target.app} was not put in place: ${why}`,
    {
      details: { deployment: ended.id, release: ended.release },
      hint: `What served before still serves. Read \`gantry logs --app ${target.app}\`.`,
    },
  );
}

/** `v5 of hello serves at https://…`: the last word about a deployment, for people. */
export function describeDeployment(target: Target, deployment: Deployment): string {
  const verb = deployment.status === 'succeeded' ? 'serves at' : 'will serve at';
  return `v${deployment.release} of ${target.app} ${verb} ${plain(deployment.url)}`;
}

async function follow(cli: Cli, { api, app }: Target, deployment: Deployment): Promise<Deployment> {
  const params = { app, id: deployment.id };
  let seen = 0;
  async function* open(): AsyncGenerator<string | Deployment> {
    let index = 0;
    for await (const event of api.stream(userEndpoints.watchDeployment, { params })) {
      if (event.text !== undefined && index++ === seen) {
        seen++;
        yield event.text;
      }
      if (event.status !== undefined) break;
    }
    // asked in here, so that this too is tried again when the platform is just restarting
    const now = await api.call(userEndpoints.showDeployment, { params });
    if (now.status !== 'pending' && now.status !== 'running') yield now;
  }
  cli.terminal.startSpinner('deploying');
  try {
    for await (const item of readThroughRestarts(cli, { open, patientFromStart: true })) {
      if (typeof item !== 'string') return item;
      cli.terminal.note(`  ${plain(item)}`);
      cli.terminal.startSpinner('deploying');
    }
  } finally {
    cli.terminal.stopSpinner();
  }
  return deployment; // not reached: the stream has no end of its own
}
