import { userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from './cli.ts';
import { connect } from './connect.ts';
import { count, plain } from './text.ts';

/** Prints what the API says of the platform's health. Throws `unavailable` afterwards when it is not ready. */
export async function showRemoteStatus(cli: Cli): Promise<void> {
  const api = await connect(cli);
  const status = await api.call(userEndpoints.status, {});
  const { bold, green, red } = cli.terminal.colors;
  await cli.terminal.result(status, async () => {
    const state = status.ready ? green('ready') : red('not ready');
    await cli.terminal.print(
      `${bold(api.url)} ${state}, version ${plain(status.version)}, ${plain(status.domain)}`,
    );
    await cli.terminal.print(`${count(status.apps, 'app')}, ${count(status.instances, 'instance')}`);
    await cli.terminal.table(
      ['COMPONENT', 'STATUS', 'MESSAGE'],
      status.components.map(({ name, status: state, message }) => [
        name,
        { text: state, paint: state === 'up' ? green : red },
        message,
      ]),
      'No components.',
    );
  });
  if (status.ready) return;
  const down = status.components.filter((component) => component.status === 'down').map(({ name }) => name);
  throw new PlatformError(
    'unavailable',
    `the platform is not ready: ${plain(down.join(', ')) || 'still starting'}`,
    {
      hint: "Its operator finds more in the logs of the platform's data folder.",
    },
  );
}
