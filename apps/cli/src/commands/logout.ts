import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { platformOrigin } from '../login-for.ts';
import { Logins } from '../logins.ts';
import { type JsonOption, type Verb, withJson } from '../verb.ts';

interface LogoutOptions extends JsonOption {
  url?: string;
  all?: boolean;
}

export const logout: Verb = {
  define(command, cli) {
    command
      .description('Forget the login at a platform. The token stays valid: `gantry tokens revoke` ends it.')
      .option('--url <url>', 'address of the platform; the current one unless told')
      .option('--all', 'forget every login');
    withJson(command).action((options: LogoutOptions) => run(cli, options));
  },
  examples: [['gantry logout', 'forget the current login']],
};

async function run(cli: Cli, options: LogoutOptions): Promise<void> {
  const logins = new Logins(cli.config.configDir);
  const urls = options.all ? await logins.urls() : [await chooseUrl(logins, options.url)];
  for (const url of urls) await logins.remove(url);
  await cli.terminal.result({ removed: urls }, async () => {
    for (const url of urls) await cli.terminal.print(`Logged out of ${url}`);
    if (urls.length === 0) cli.terminal.note('There was no login.');
  });
  const rest = await logins.urls();
  if (rest.length > 0 && !(await logins.current())) {
    cli.terminal.note(
      `Other logins: ${rest.join(', ')}. \`gantry login --url URL\` makes one of them current.`,
    );
  }
}

async function chooseUrl(logins: Logins, given: string | undefined): Promise<string> {
  const url = given === undefined ? (await logins.current())?.url : platformOrigin(given);
  if (url !== undefined && (await logins.find(url))) return url;
  throw new PlatformError('not_found', url === undefined ? 'not logged in' : `not logged in at ${url}`, {
    hint: `Logins: ${(await logins.urls()).join(', ') || 'none'}.`,
  });
}
