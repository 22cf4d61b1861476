import path from 'node:path';
import { type Identity, userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { apiFor } from '../connect.ts';
import { readLocalLogin } from '../local-platform.ts';
import { platformOrigin } from '../login-for.ts';
import { type Login, Logins } from '../logins.ts';
import { askSecret, readSecret } from '../prompt.ts';
import { plain } from '../text.ts';
import { type JsonOption, type Verb, withJson } from '../verb.ts';

interface LoginOptions extends JsonOption {
  url?: string;
  token?: string;
  data?: string;
}

const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;

export const login: Verb = {
  define(command, cli) {
    command
      .description(
        'Log in to a platform: the one of this machine, or any other with a token. Logging in again at an address ' +
          'that is already known makes it the current one.',
      )
      .option('--url <url>', 'address of a platform elsewhere')
      .option(
        '--token <source>',
        'read the token from standard input (`-`); a terminal is asked for it, unseen',
      )
      .option(
        '--data <dir>',
        'data folder of the platform on this machine (default: $GANTRY_DATA or /var/lib/gantry)',
      );
    withJson(command).action((options: LoginOptions) => run(cli, options));
  },
  examples: [
    ['gantry login', 'at the platform that runs on this machine'],
    ['gantry login --url https://gantry.example.org', 'elsewhere; asks for the token'],
    ['gantry login --url https://gantry.example.org --token - < token.txt', 'elsewhere, in a script'],
  ],
};

async function run(cli: Cli, options: LoginOptions): Promise<void> {
  const chosen = await chooseLogin(cli, options);
  warnOfPlainText(cli, chosen.url);
  const identity = await apiFor(cli, chosen).call(userEndpoints.identity, {});
  await new Logins(cli.config.configDir).save(chosen);
  await report(cli, chosen.url, identity);
}

async function chooseLogin(cli: Cli, options: LoginOptions): Promise<Login> {
  if (options.token !== undefined && options.token !== '-') {
    throw new PlatformError(
      'invalid_input',
      '--token takes only `-`: what is written there, others can read',
      {
        hint: 'Pipe the token in: gantry login --url URL --token - < FILE',
      },
    );
  }
  const url = options.url ?? (options.data === undefined ? cli.config.url : undefined);
  if (url === undefined) {
    if (options.token !== undefined) {
      throw new PlatformError('invalid_input', '--token needs --url', {
        hint: 'Which platform is the token for?',
      });
    }
    const local = await readLocalLogin(
      options.data === undefined ? cli.config.dataDir : path.resolve(options.data),
    );
    return { url: platformOrigin(local.url), token: local.token };
  }
  const origin = platformOrigin(url);
  return { url: origin, token: await obtainToken(cli, origin, options) };
}

async function obtainToken(cli: Cli, origin: string, options: LoginOptions): Promise<string> {
  const isTerminal = cli.terminal.stdin.isTTY === true;
  const known = options.token === undefined ? await new Logins(cli.config.configDir).find(origin) : undefined;
  const given = options.token === undefined ? (cli.config.token ?? known?.token) : undefined;
  if (given !== undefined) return given;
  if (!isTerminal && options.token === undefined) {
    throw new PlatformError('invalid_input', `no token for ${origin}, and nobody to ask`, {
      hint: 'Add `--token -` and pipe the token in, or set GANTRY_TOKEN.',
    });
  }
  const token = isTerminal ? (await askSecret(cli, `Token for ${origin}: `)).trim() : await readSecret(cli);
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new PlatformError(
    'invalid_input',
    token === '' ? 'the token is empty' : 'the token holds odd characters',
    {
      hint: 'A token is made by `gantry tokens create NAME` where you are logged in.',
    },
  );
}

function warnOfPlainText(cli: Cli, url: string): void {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'https:' || LOOPBACK.test(hostname)) return;
  cli.terminal.note(`warning: ${url} is not encrypted; everybody on the way can read the token`);
}

async function report(cli: Cli, url: string, identity: Identity): Promise<void> {
  await cli.terminal.result({ url, ...identity }, () => {
    const organization = plain(identity.organization.slug);
    return cli.terminal.print(
      `Logged in at ${url} as ${plain(identity.user.name)} (${identity.role} of ${organization})`,
    );
  });
}
