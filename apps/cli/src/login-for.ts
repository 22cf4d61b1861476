import { PlatformError } from '#libs/errors';
import type { Cli } from './cli.ts';
import { type Login, Logins } from './logins.ts';

/**
 * The login that belongs to `origin`, or undefined. A token never goes to another address than the one it was given
 * for, whatever a git remote says.
 */
export async function findLoginFor(cli: Cli, origin: string): Promise<Login | undefined> {
  const { url, token } = cli.config;
  const logins = new Logins(cli.config.configDir);
  const tokenUrl = url === undefined ? (await logins.current())?.url : platformOrigin(url);
  if (token !== undefined && tokenUrl === origin) return { url: origin, token };
  return logins.find(origin);
}

/**
 * Scheme, host and port of a platform's address. Throws `invalid_input` for what is no http address, and for one that
 * carries a password.
 */
export function platformOrigin(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol) || parsed.username || parsed.password) {
    throw new PlatformError('invalid_input', `${JSON.stringify(url)} is not the address of a platform`, {
      hint: 'Give it like http://127.0.0.1:8081 or https://gantry.example.org, without user name and password.',
    });
  }
  return parsed.origin;
}
