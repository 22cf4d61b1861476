import { type App, userEndpoints } from '#libs/contract';
import type { Cli } from '../cli.ts';
import { connect } from '../connect.ts';
import { findTarget } from '../target.ts';
import { ago, alignColumns, plain } from '../text.ts';
import { type AppOption, type Verb, withApp, withJson } from '../verb.ts';
import { type CreateOptions, createApp } from './apps-create.ts';
import { type DestroyOptions, destroyApp } from './apps-destroy.ts';

export const apps: Verb = {
  define(command, cli) {
    command.description('Create, list, show and destroy apps');
    const create = command
      .command('create')
      .summary('create an app')
      .description(
        'Create an app. In a git work tree this also adds a git remote for it and lets git use your login, so that ' +
          '`git push platform main` deploys without asking for a password.',
      )
      .argument('[name]', "the app's name, which becomes part of its address")
      .option('--remote <name>', 'name of the git remote', 'platform')
      .option('--no-remote', 'add no git remote');
    withJson(create).action((name: string | undefined, options: CreateOptions) =>
      createApp(cli, name, options),
    );
    withJson(command.command('list').summary('list apps (the default)').description('List your apps')).action(
      () => list(cli),
    );
    const info = command
      .command('info')
      .summary('show an app')
      .description('Show an app: its addresses, its state and its services')
      .argument('[name]', "the app's name");
    withApp(info).action((name: string | undefined, options: AppOption) => show(cli, name ?? options.app));
    const destroy = command
      .command('destroy')
      .summary('destroy an app and all of its data')
      .description(
        'Destroy an app with its volumes, releases, builds, logs and config. There is no way back.',
      )
      .argument('<name>', "the app's name")
      .option('--confirm <name>', 'the name again, instead of being asked to type it');
    withJson(destroy).action((name: string, options: DestroyOptions) => destroyApp(cli, name, options));
  },
  examples: [
    ['gantry apps create hello', 'create an app, and the git remote `platform` in this folder'],
    ['gantry apps list --json', 'all apps, for a program'],
    ['gantry apps info hello', 'addresses, state and services'],
    ['gantry apps destroy hello --confirm hello', 'destroy without being asked'],
  ],
};

async function list(cli: Cli): Promise<void> {
  const api = await connect(cli);
  const { items } = await api.call(userEndpoints.listApps, {});
  const now = cli.clock.now();
  await cli.terminal.result({ items }, () =>
    cli.terminal.table(
      ['NAME', 'STATUS', 'RELEASE', 'CREATED', 'URL'],
      items.map((app) => [
        { text: app.slug, paint: cli.terminal.colors.bold },
        { text: app.status, paint: statusColor(cli, app.status) },
        app.release === null ? '-' : `v${app.release}`,
        ago(app.createdAt, now),
        app.url,
      ]),
      'No apps yet. `gantry apps create NAME` makes one.',
    ),
  );
}

async function show(cli: Cli, name: string | undefined): Promise<void> {
  const { api, app: slug } = await findTarget(cli, name);
  const app = await api.call(userEndpoints.showApp, { params: { app: slug } });
  await cli.terminal.result(app, () => printApp(cli, app));
}

async function printApp(cli: Cli, app: App): Promise<void> {
  const { bold, dim } = cli.terminal.colors;
  const services = app.services.map(({ name, scale, healthy }) => `${name} ${healthy}/${scale}`).join(', ');
  const facts: [name: string, value: string][] = [
    ['url', app.url],
    ['status', app.status],
    ['release', app.release === null ? 'none yet' : `v${app.release}`],
    ['services', services || 'none yet'],
    ['git', app.gitUrl],
    ['organization', app.organization],
    ['created', ago(app.createdAt, cli.clock.now())],
  ];
  await cli.terminal.print(bold(plain(app.slug)));
  const rows = facts.map(([label, value]) => [{ text: label, paint: dim }, value]);
  for (const line of alignColumns(rows)) await cli.terminal.print(line);
}

function statusColor(cli: Cli, status: App['status']): (text: string) => string {
  const { green, yellow, red, dim } = cli.terminal.colors;
  if (status === 'running') return green;
  if (status === 'crashed') return red;
  return status === 'building' || status === 'deploying' ? yellow : dim;
}
