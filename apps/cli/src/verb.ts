import type { Command } from 'commander';
import type { Cli } from './cli.ts';

/** One word after `gantry`. */
export interface Verb {
  /** Adds arguments, options, subcommands and actions. Must be cheap: it also runs for help. */
  define(command: Command, cli: Cli): void;
  /** Command lines worth knowing, with what each does. */
  examples: readonly (readonly [line: string, meaning: string])[];
}

export interface JsonOption {
  json?: boolean;
}

export interface AppOption extends JsonOption {
  app?: string;
}

export interface WaitOption {
  wait: boolean;
  detach?: boolean;
}

/** Adds `--json`. */
export function withJson(command: Command): Command {
  return command.option('--json', 'print JSON instead of text');
}

/** Adds `--app` and `--json`. */
export function withApp(command: Command): Command {
  return withJson(command.option('-a, --app <name>', 'the app; else the one of the git remote `platform`'));
}

/** Adds `--no-wait` and its other name, `--detach`. */
export function withWait(command: Command): Command {
  return command
    .option('--no-wait', 'return at once instead of following what happens')
    .option('--detach', 'the same as --no-wait');
}

/** Whether the user wants to follow what a verb set off. */
export function shouldWait(options: WaitOption): boolean {
  return options.wait && options.detach !== true;
}
