import { Client } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { Api } from './api.ts';
import type { Cli } from './cli.ts';
import { canLogInLocally } from './local-platform.ts';
import { findLoginFor, platformOrigin } from './login-for.ts';
import { type Login, Logins } from './logins.ts';

/**
 * The platform to talk to, in this order: `GANTRY_URL`; the one that the app's git remote names (`origin`); the
 * current login. Its token: `GANTRY_TOKEN`, else the stored login for exactly that address.
 */
export async function connect(cli: Cli, origin?: string): Promise<Api> {
  const login = await chooseLogin(cli, origin);
  return apiFor(cli, login);
}

/** The platform that `login` names, whatever else is stored or set. */
export function apiFor(cli: Cli, login: Login): Api {
  return new Api(login.url, new Client({ url: login.url, token: login.token }), cli);
}

async function chooseLogin(cli: Cli, origin: string | undefined): Promise<Login> {
  const { url, configDir } = cli.config;
  const current = await new Logins(configDir).current();
  const chosen = url === undefined ? (origin ?? current?.url) : platformOrigin(url);
  if (origin !== undefined && origin !== chosen) {
    throw new PlatformError('conflict', `the git remote belongs to ${origin}, but GANTRY_URL is ${chosen}`, {
      hint: 'Unset GANTRY_URL, or name the app with --app NAME.',
    });
  }
  if (chosen === undefined) throw await notLoggedIn(cli);
  const login = await findLoginFor(cli, chosen);
  if (login) return login;
  throw new PlatformError('unauthenticated', `not logged in at ${chosen}`, {
    hint: `Run \`gantry login --url ${chosen}\`, or set GANTRY_URL and GANTRY_TOKEN.`,
  });
}

async function notLoggedIn(cli: Cli): Promise<PlatformError> {
  const { token, dataDir } = cli.config;
  if (token !== undefined) {
    return new PlatformError('unauthenticated', 'GANTRY_TOKEN is set, but not which platform it is for', {
      hint: 'Set GANTRY_URL too.',
    });
  }
  const hint = (await canLogInLocally(dataDir))
    ? 'This machine runs a platform: run `gantry login`.'
    : 'Run `gantry login --url URL` with a token, or start a platform here with `gantry up`.';
  return new PlatformError('unauthenticated', 'not logged in', { hint });
}
