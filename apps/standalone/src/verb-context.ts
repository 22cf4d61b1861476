import type { Clock, Exec } from '#libs/host';
import type { StandaloneConfig } from './config.ts';
import type { Layout } from './layout.ts';
import type { StandaloneOptions } from './options.ts';
import type { Output } from './output.ts';
import type { Programs } from './programs.ts';

/** What each verb is given. */
export interface VerbContext {
  options: StandaloneOptions;
  layout: Layout;
  config: StandaloneConfig;
  programs: Programs;
  /** This program's own entry file, for `--detach`. */
  mainFile: string;
  exec: Exec;
  clock: Clock;
  output: Output;
}
