import type { Cli } from '../cli.ts';
import { findLoginFor } from '../login-for.ts';
import type { Verb } from '../verb.ts';

/** git sends a handful of short lines; whatever sends more is not git. */
const MAX_REQUEST_BYTES = 64 * 1024;

export const gitCredential: Verb = {
  define(command, cli) {
    command
      .description('Answer git as a credential helper; `gantry apps create` sets it up')
      .argument('<operation>', '`get`, `store` or `erase`')
      .action((operation: string) => run(cli, operation));
  },
  examples: [],
};

/**
 * gitcredentials(7): git writes `key=value` lines and reads user name and password back. Only the login for exactly
 * the asked scheme, host and port is told; anything else is left to git. Nothing is stored for git, and what it says
 * (`erase`) does not end a login, but the user hears why the push fails.
 */
async function run(cli: Cli, operation: string): Promise<void> {
  if (operation !== 'get' && operation !== 'erase') return;
  const request = parseRequest(await readRequest(cli));
  const url = `${request.get('protocol')}://${request.get('host')}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) return;
  const { origin } = new URL(url);
  const login = await findLoginFor(cli, origin);
  if (operation === 'get') {
    if (login) await cli.terminal.write(`username=gantry\npassword=${login.token}\n`);
    else
      cli.terminal.note(
        `gantry: not logged in at ${origin}. Run \`gantry login\`, or \`gantry login --url ${origin}\`.`,
      );
  } else if (login && login.token === request.get('password')) {
    cli.terminal.note(`gantry: ${origin} refused the stored token. Run \`gantry login\` again.`);
  }
}

async function readRequest(cli: Cli): Promise<string> {
  let text = '';
  for await (const chunk of cli.terminal.stdin) {
    text += String(chunk);
    if (text.length > MAX_REQUEST_BYTES || text.includes('\n\n')) break;
  }
  return text;
}

function parseRequest(text: string): Map<string, string> {
  const pairs = text.split('\n').filter((line) => line.includes('='));
  return new Map(pairs.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}
