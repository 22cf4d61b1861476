import path from 'node:path';
import { type App, userEndpoints } from '#libs/contract';
import { errorMessage, PlatformError } from '#libs/errors';
import { nearestAppName, parseAppName } from '../app-name.ts';
import type { Cli } from '../cli.ts';
import { connect } from '../connect.ts';
import { credentialHelper, Git, parseGitUrl } from '../git.ts';
import { plain } from '../text.ts';
import type { JsonOption } from '../verb.ts';

export interface CreateOptions extends JsonOption {
  /** Name of the git remote, or false for none. */
  remote: string | false;
}

/** What became of the git remote, as `--json` tells it. */
type RemoteOutcome = 'added' | 'present' | 'taken' | 'no-work-tree' | 'not-wanted';

/** Creates an app and, in a git work tree, the remote and the credential helper that make `git push` work. */
export async function createApp(cli: Cli, name: string | undefined, options: CreateOptions): Promise<void> {
  if (name === undefined) {
    throw new PlatformError('invalid_input', 'the new app has no name', {
      hint: `Try gantry apps create ${nearestAppName(path.basename(cli.cwd))}`,
    });
  }
  const { remote } = options;
  if (remote !== false && !/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(remote)) {
    throw new PlatformError('invalid_input', `${JSON.stringify(remote)} cannot be the name of a git remote`, {
      hint: 'Use letters, digits, dots and dashes.',
    });
  }
  const slug = parseAppName(name);
  const api = await connect(cli);
  const app = await api.call(userEndpoints.createApp, { body: { slug } });
  const wiring = await wireGit(cli, app, remote);
  const gitRemote = { name: remote === false ? null : remote, outcome: wiring.outcome };
  await cli.terminal.result({ ...app, gitRemote }, async () => {
    await cli.terminal.print(`Created ${app.slug}: ${plain(app.url)}`);
    for (const line of wiring.lines) await cli.terminal.print(line);
  });
}

interface Wiring {
  outcome: RemoteOutcome;
  /** What the user should know or do next. */
  lines: string[];
}

async function wireGit(cli: Cli, app: App, remote: string | false): Promise<Wiring> {
  const byHand = (name: string) => `git remote add ${name} ${plain(app.gitUrl)}`;
  if (remote === false) return { outcome: 'not-wanted', lines: [`Deploy from git: ${byHand('platform')}`] };
  const git = new Git(cli.exec, cli.cwd);
  const state = await git.state();
  if (state !== 'work-tree') {
    const why = {
      none: 'This folder is no git work tree. In the folder of the app:',
      missing: 'There is no git on this machine. Once there is, in the folder of the app:',
    };
    const reason =
      typeof state === 'object' ? `git refuses this folder: ${plain(state.refused)}` : why[state];
    return { outcome: 'no-work-tree', lines: [reason, `  git init -b main && ${byHand(remote)}`] };
  }
  const present = await git.remoteUrl(remote);
  if (present !== undefined && present !== app.gitUrl) {
    const line = `The git remote \`${remote}\` stays as it is: it belongs to ${describeRemote(present)}. For this app:`;
    return { outcome: 'taken', lines: [line, `  ${byHand(app.slug)}`] };
  }
  try {
    if (present === undefined) await git.addRemote(remote, app.gitUrl);
    await git.useCredentialHelper(new URL(app.gitUrl).origin, credentialHelper(cli.installation.command));
  } catch (cause) {
    throw new PlatformError(
      'internal',
      `${app.slug} was created, but its git remote could not be set up: ${errorMessage(cause)}`,
      { cause, hint: `Do it by hand: ${byHand(remote)}` },
    );
  }
  return {
    outcome: present === undefined ? 'added' : 'present',
    lines: [`Git remote \`${remote}\` is set. Deploy with: git push ${remote} main`],
  };
}

function describeRemote(url: string): string {
  const found = parseGitUrl(url);
  return found ? `the app ${found.slug} at ${found.origin}` : 'another repository';
}
