import { fileURLToPath } from 'node:url';
import { isSystemError, PlatformError } from '#libs/errors';
import { systemClock, systemExec } from '#libs/host';
import { loadConfig } from './config.ts';
import { findInstallation } from './installation.ts';
import { INTERRUPTED, runCli } from './run.ts';
import { Terminal } from './terminal.ts';

const interrupt = new AbortController();
process.on('SIGINT', () => {
  if (interrupt.signal.aborted) process.exit(INTERRUPTED); // the second Ctrl-C waits for nothing
  interrupt.abort();
});
// the reader of our output went away (`gantry logs | head`): there is nobody to tell
process.stdout.on('error', (error) => {
  if (isSystemError(error, 'EPIPE')) process.exit(0);
  throw error;
});
process.stderr.on('error', () => {}); // without stderr the work still goes on

const config = loadConfig(process.env);
const exitCode = await runCli(process.argv.slice(2), {
  config,
  terminal: new Terminal(process, config.color),
  exec: systemExec,
  clock: systemClock,
  installation: findInstallation(fileURLToPath(import.meta.url)),
  cwd: process.cwd(),
  signal: interrupt.signal,
  become,
});
// idle connections must not keep the process; what was written to stdout is out, since such writes are synchronous
process.exit(exitCode);

function become(file: string, args: readonly string[]): never {
  if (!process.execve)
    throw new PlatformError('unsupported', `Node.js ${process.version} cannot become another program`);
  return process.execve(file, [file, ...args]);
}
