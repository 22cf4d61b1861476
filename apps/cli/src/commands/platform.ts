import path from 'node:path';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { parseCount } from '../options.ts';
import { type JsonOption, type Verb, withJson } from '../verb.ts';

interface UpOptions extends JsonOption {
  data?: string;
  domain?: string;
  httpPort?: number;
  apiPort?: number;
  detach?: boolean;
}

const MAX_PORT = 65_535;

/** Starts a whole platform on this machine; `apps/standalone` does the work. */
export const up: Verb = {
  define(command, cli) {
    withData(
      command.description('Start a platform on this machine: database, control plane, agent and router'),
    )
      .option('--domain <name>', 'apps are served at <app>.<domain> (default: gantry.localhost)')
      .option('--http-port <port>', 'port that apps are served at (default: 8080)', parsePort)
      .option('--api-port <port>', 'port of the API, git and the registry (default: 8081)', parsePort)
      .option('--detach', 'return once it is ready; `gantry down` stops it');
    withJson(command).action((options: UpOptions) => becomeStandalone(cli, 'up', options));
  },
  examples: [
    ['gantry up', 'run here until Ctrl-C'],
    ['gantry up --data /srv/gantry --http-port 80 --detach', 'run in the background'],
  ],
};

export const down: Verb = {
  define(command, cli) {
    withData(
      command.description(
        'Stop the platform of this machine, instances too. The next `gantry up` brings all back.',
      ),
    );
    withJson(command).action((options: UpOptions) => becomeStandalone(cli, 'down', options));
  },
  examples: [['gantry down', 'stop all in order']],
};

/** Adds `--data`. */
export function withData(command: Command): Command {
  return command.option(
    '--data <dir>',
    'data folder of the platform (default: $GANTRY_DATA or /var/lib/gantry)',
  );
}

/** Turns this process into `apps/standalone`, which then gets the signals and gives the exit code. */
export function becomeStandalone(cli: Cli, verb: string, options: UpOptions): void {
  const dataDir = options.data === undefined ? cli.config.dataDir : path.resolve(options.data);
  const args = [verb, '--data', dataDir];
  if (options.domain !== undefined) args.push('--domain', options.domain);
  if (options.httpPort !== undefined) args.push('--http-port', String(options.httpPort));
  if (options.apiPort !== undefined) args.push('--api-port', String(options.apiPort));
  if (options.detach) args.push('--detach');
  if (options.json) args.push('--json');
  cli.become(process.execPath, [cli.installation.standaloneMain, ...args]);
}

function parsePort(text: string): number {
  return parseCount(text, 1, MAX_PORT);
}
