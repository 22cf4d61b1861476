import { userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { describeDeployment, finishDeployment } from '../follow-deployment.ts';
import { findTarget } from '../target.ts';
import { type AppOption, type Verb, type WaitOption, withApp, withWait } from '../verb.ts';

interface DeployOptions extends AppOption, WaitOption {
  image?: string;
}

export const deploy: Verb = {
  define(command, cli) {
    command
      .description(
        'Deploy an image, from the platform’s own registry or any OCI registry, and follow it until it serves',
      )
      .option('--image <ref>', 'reference of the image, with tag or digest');
    withApp(withWait(command)).action((options: DeployOptions) => run(cli, options));
  },
  examples: [
    ['gantry deploy --image registry.example.org/team/app:1.4', 'deploy and follow'],
    ['gantry deploy -a hello --image registry.example.org/team/app:1.4 --no-wait', 'set it off and return'],
  ],
};

async function run(cli: Cli, options: DeployOptions): Promise<void> {
  if (options.image === undefined) {
    throw new PlatformError('invalid_input', 'what should be deployed? There is no --image', {
      hint: 'Add --image REF. Source code is deployed by `git push platform main`.',
    });
  }
  const target = await findTarget(cli, options.app);
  const deployment = await target.api.call(userEndpoints.createDeployment, {
    params: { app: target.app },
    body: { image: options.image },
  });
  const ended = await finishDeployment(cli, target, deployment, options);
  await cli.terminal.result(ended, () => cli.terminal.print(describeDeployment(target, ended)));
}
