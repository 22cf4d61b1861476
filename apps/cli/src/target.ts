import { PlatformError } from '#libs/errors';
import type { Api } from './api.ts';
import { parseAppName } from './app-name.ts';
import type { Cli } from './cli.ts';
import { connect } from './connect.ts';
import { Git, parseGitUrl } from './git.ts';

/** The git remote that names a folder's app. */
export const DEFAULT_REMOTE = 'platform';

/** An app and the platform it is on. */
export interface Target {
  api: Api;
  app: string;
}

/** The app that a verb is about: `--app`, else the one that the folder's git remote `platform` names. */
export async function findTarget(cli: Cli, name: string | undefined): Promise<Target> {
  if (name !== undefined) {
    const app = parseAppName(name);
    return { api: await connect(cli), app };
  }
  const remoteUrl = await new Git(cli.exec, cli.cwd).remoteUrl(DEFAULT_REMOTE);
  const found = remoteUrl === undefined ? undefined : parseGitUrl(remoteUrl);
  if (found) return { api: await connect(cli, found.origin), app: found.slug };
  const why =
    remoteUrl === undefined
      ? `this folder has no git remote \`${DEFAULT_REMOTE}\``
      : `the git remote \`${DEFAULT_REMOTE}\` of this folder is no app's address`;
  throw new PlatformError('invalid_input', `which app? There is no --app, and ${why}`, {
    hint: 'Add --app NAME (`gantry apps list` shows the names), or go to the folder of an app.',
  });
}
