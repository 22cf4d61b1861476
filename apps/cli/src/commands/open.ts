import { userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { findTarget } from '../target.ts';
import { plain } from '../text.ts';
import { type AppOption, type Verb, withApp } from '../verb.ts';

export const open: Verb = {
  define(command, cli) {
    withApp(
      command.description("Print an app's address, and open it in a browser where there is a display"),
    ).action((options: AppOption) => run(cli, options));
  },
  examples: [['gantry open', 'look at the app of this folder']],
};

async function run(cli: Cli, options: AppOption): Promise<void> {
  const { api, app: slug } = await findTarget(cli, options.app);
  const { url } = await api.call(userEndpoints.showApp, { params: { app: slug } });
  // an opener runs whatever program is registered for a scheme
  if (!/^https?:\/\//.test(url)) {
    throw new PlatformError('unsupported', `the address of ${slug} is no web address: ${plain(url)}`);
  }
  await cli.terminal.result({ url }, () => cli.terminal.print(plain(url)));
  if (cli.config.graphical && cli.terminal.isTTY && !cli.terminal.json) launchBrowser(cli, url);
}

function launchBrowser(cli: Cli, url: string): void {
  const opener = process.platform === 'darwin' ? 'open' : 'xdg-open';
  const browser = cli.exec.spawn(opener, [url], { detached: true, stdio: 'ignore' });
  browser.on('error', () => {}); // no opener: the address is on the screen
  browser.unref();
}
