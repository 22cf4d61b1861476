import { type App, userEndpoints, type Volume } from '#libs/contract';
import { parseAppName } from '../app-name.ts';
import type { Cli } from '../cli.ts';
import { confirmByName } from '../confirm.ts';
import { connect } from '../connect.ts';
import { Git } from '../git.ts';
import { DEFAULT_REMOTE } from '../target.ts';
import { count } from '../text.ts';
import type { JsonOption } from '../verb.ts';

export interface DestroyOptions extends JsonOption {
  confirm?: string;
}

/** Destroys an app once its name was typed or given again, and takes its git remote off this folder. */
export async function destroyApp(cli: Cli, name: string, options: DestroyOptions): Promise<void> {
  const slug = parseAppName(name);
  const api = await connect(cli);
  const params = { app: slug };
  const app = await api.call(userEndpoints.showApp, { params });
  const { items: volumes } = await api.call(userEndpoints.listVolumes, { params });
  await confirmByName(cli, {
    name: slug,
    given: options.confirm,
    losses: describeLosses(app, volumes),
    command: `gantry apps destroy ${slug}`,
  });
  await api.call(userEndpoints.destroyApp, { params });
  const git = new Git(cli.exec, cli.cwd);
  const isRemoteOfApp = (await git.remoteUrl(DEFAULT_REMOTE)) === app.gitUrl;
  if (isRemoteOfApp) await git.removeRemote(DEFAULT_REMOTE);
  await cli.terminal.result({ destroyed: slug, gitRemoteRemoved: isRemoteOfApp }, async () => {
    await cli.terminal.print(`Destroyed ${slug}`);
    if (isRemoteOfApp)
      await cli.terminal.print(`Removed the git remote \`${DEFAULT_REMOTE}\` of this folder`);
  });
}

function describeLosses(app: App, volumes: Volume[]): string {
  const running = app.services.reduce((sum, service) => sum + service.healthy, 0);
  const data =
    volumes.length === 0 ? '' : ` (${volumes.map((volume) => volume.name).join(', ')}) with all their data`;
  return (
    `This stops ${count(running, 'running instance')}, frees ${app.url} and deletes ${count(volumes.length, 'volume')}` +
    `${data}, the git repository, every release, build and log, and the config.`
  );
}
