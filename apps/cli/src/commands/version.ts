import type { Cli } from '../cli.ts';
import { type Verb, withJson } from '../verb.ts';

export const version: Verb = {
  define(command, cli) {
    withJson(command.description('Print the version of this command line')).action(() => run(cli));
  },
  examples: [['gantry version', 'the version of the platform is in `gantry status`']],
};

async function run(cli: Cli): Promise<void> {
  const value = { version: cli.installation.version, node: process.versions.node };
  await cli.terminal.result(value, () => cli.terminal.print(`gantry ${value.version}`));
}
