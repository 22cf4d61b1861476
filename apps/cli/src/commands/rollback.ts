import { userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { describeDeployment, finishDeployment } from '../follow-deployment.ts';
import { findTarget } from '../target.ts';
import { type AppOption, type Verb, type WaitOption, withApp, withWait } from '../verb.ts';

type RollbackOptions = AppOption & WaitOption;

export const rollback: Verb = {
  define(command, cli) {
    command
      .description('Deploy an earlier release again, as a new one, with the config it had')
      .argument('[release]', 'the release, `v3` or `3`; the one before the current unless told');
    withApp(withWait(command)).action((release: string | undefined, options: RollbackOptions) =>
      run(cli, release, options),
    );
  },
  examples: [
    ['gantry rollback', 'back to the release before'],
    ['gantry rollback v12', 'back to a certain one'],
  ],
};

async function run(cli: Cli, name: string | undefined, options: RollbackOptions): Promise<void> {
  const release = name === undefined ? undefined : parseRelease(name);
  const target = await findTarget(cli, options.app);
  const deployment = await target.api.call(userEndpoints.rollback, {
    params: { app: target.app },
    body: { release },
  });
  const ended = await finishDeployment(cli, target, deployment, options);
  await cli.terminal.result(ended, () => cli.terminal.print(describeDeployment(target, ended)));
}

function parseRelease(name: string): number {
  const number = /^v?([1-9]\d{0,8})$/.exec(name)?.[1];
  if (number !== undefined) return Number(number);
  throw new PlatformError('invalid_input', `${JSON.stringify(name)} is no release`, {
    hint: 'Give it like v3. `gantry releases` lists them.',
  });
}
