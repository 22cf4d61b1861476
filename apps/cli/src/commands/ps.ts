import { type Instance, userEndpoints } from '#libs/contract';
import type { Cli } from '../cli.ts';
import { findTarget } from '../target.ts';
import { ago, instanceName } from '../text.ts';
import { type AppOption, type Verb, withApp } from '../verb.ts';

export const ps: Verb = {
  define(command, cli) {
    withApp(command.description('List the instances of an app and how they are')).action(
      (options: AppOption) => run(cli, options),
    );
  },
  examples: [['gantry ps', 'instances of the app of this folder']],
};

async function run(cli: Cli, options: AppOption): Promise<void> {
  const { api, app } = await findTarget(cli, options.app);
  const { items } = await api.call(userEndpoints.listInstances, { params: { app } });
  const now = cli.clock.now();
  await cli.terminal.result({ items }, () =>
    cli.terminal.table(
      ['INSTANCE', 'STATE', 'RELEASE', 'NODE', 'RESTARTS', 'STARTED', 'MESSAGE'],
      items.map((instance) => [
        { text: instanceName(instance), paint: cli.terminal.colors.bold },
        { text: describeState(instance), paint: stateColor(cli, instance) },
        `v${instance.release}`,
        instance.node,
        String(instance.restarts),
        ago(instance.startedAt, now),
        describeTrouble(instance, now),
      ]),
      `${app} has no instance. \`gantry apps info\` shows its scale, \`gantry releases\` what was deployed.`,
    ),
  );
}

function describeState(instance: Instance): string {
  return instance.draining ? `${instance.state}, draining` : instance.state;
}

function describeTrouble({ message, lastExit }: Instance, now: number): string {
  const exit =
    lastExit && `${lastExit.oomKilled ? 'out of memory' : `exit ${lastExit.code}`} ${ago(lastExit.at, now)}`;
  return [message, exit].filter(Boolean).join('; ');
}

function stateColor(cli: Cli, { state }: Instance): (text: string) => string {
  const { green, red, yellow } = cli.terminal.colors;
  if (state === 'healthy') return green;
  return state === 'failed' || state === 'unhealthy' || state === 'backoff' ? red : yellow;
}
