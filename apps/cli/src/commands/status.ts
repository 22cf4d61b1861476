import path from 'node:path';
import type { Cli } from '../cli.ts';
import { type JsonOption, type Verb, withJson } from '../verb.ts';
import { becomeStandalone, withData } from './platform.ts';

interface StatusOptions extends JsonOption {
  data?: string;
}

export const status: Verb = {
  define(command, cli) {
    withData(
      command.description(
        'Show how the platform of this machine is or, where none runs, the one you are logged in at',
      ),
    );
    withJson(command).action((options: StatusOptions) => run(cli, options));
  },
  examples: [['gantry status', 'ends with 0 only when the platform is ready']],
};

async function run(cli: Cli, options: StatusOptions): Promise<void> {
  const { hasLocalPlatform } = await import('../local-platform.ts');
  const isElsewhere = options.data === undefined && cli.config.url !== undefined;
  const dataDir = options.data === undefined ? cli.config.dataDir : path.resolve(options.data);
  const isLocal = options.data !== undefined || (!isElsewhere && (await hasLocalPlatform(dataDir)));
  if (isLocal) return becomeStandalone(cli, 'status', options);
  const { showRemoteStatus } = await import('../remote-status.ts');
  await showRemoteStatus(cli);
}
