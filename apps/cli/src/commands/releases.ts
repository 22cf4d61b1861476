import { userEndpoints } from '#libs/contract';
import type { Cli } from '../cli.ts';
import { limitOption } from '../options.ts';
import { findTarget } from '../target.ts';
import { ago } from '../text.ts';
import { type AppOption, type Verb, withApp } from '../verb.ts';

interface ReleasesOptions extends AppOption {
  limit: number;
}

export const releases: Verb = {
  define(command, cli) {
    command.description('List the releases of an app, newest first').addOption(limitOption());
    withApp(command).action((options: ReleasesOptions) => run(cli, options));
  },
  examples: [['gantry releases', 'what was deployed, when and why']],
};

async function run(cli: Cli, options: ReleasesOptions): Promise<void> {
  const { api, app } = await findTarget(cli, options.app);
  const { items } = await api.call(userEndpoints.listReleases, {
    params: { app },
    query: { limit: options.limit },
  });
  const { bold, green } = cli.terminal.colors;
  await cli.terminal.result({ items }, () =>
    cli.terminal.table(
      ['RELEASE', 'STATE', 'REASON', 'IMAGE', 'CREATED'],
      items.map((release) => [
        { text: `v${release.number}`, paint: bold },
        release.current ? { text: 'current', paint: green } : '',
        release.reason,
        release.digest.slice(7, 19),
        ago(release.createdAt, cli.clock.now()),
      ]),
      `${app} has no release yet. \`git push platform main\` or \`gantry deploy\` makes the first.`,
    ),
  );
}
