import type { Clock, Exec } from '#libs/host';
import type { CliConfig } from './config.ts';
import type { Installation } from './installation.ts';
import type { Terminal } from './terminal.ts';

/** What every verb works with; built once in main.ts, and from fakes in tests. */
export interface Cli {
  config: CliConfig;
  terminal: Terminal;
  exec: Exec;
  clock: Clock;
  installation: Installation;
  /** The folder the user is in. */
  cwd: string;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
  /** Becomes another program: same process id, same standard streams. Does not return outside of tests. */
  become(file: string, args: readonly string[]): void;
}
