import { type Build, userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { limitOption } from '../options.ts';
import { readThroughRestarts } from '../restarts.ts';
import { findTarget, type Target } from '../target.ts';
import { ago, alignColumns, colorsOnly, duration, plain } from '../text.ts';
import { type AppOption, type Verb, withApp } from '../verb.ts';

interface ListOptions extends AppOption {
  limit: number;
}

export const builds: Verb = {
  define(command, cli) {
    command.description('List builds, show one, read its log');
    const list = command
      .command('list')
      .summary('list builds (the default)')
      .description('List builds, newest first');
    withApp(list.addOption(limitOption())).action((options: ListOptions) => listBuilds(cli, options));
    const info = command.command('info').summary('show a build').description('Show a build');
    withApp(info.argument('[number]', 'the newest unless told')).action(
      (number: string | undefined, options: AppOption) => showBuild(cli, number, options),
    );
    const log = command
      .command('log')
      .summary('print the log of a build')
      .description(
        'Print the log of a build, and follow it while the build runs. With --json one document a line.',
      );
    withApp(log.argument('[number]', 'the newest unless told')).action(
      (number: string | undefined, options: AppOption) => printLog(cli, number, options),
    );
  },
  examples: [
    ['gantry builds', 'the last builds'],
    ['gantry builds log', 'log of the newest build'],
    ['gantry builds log 7 -a hello', 'log of build 7 of another app'],
  ],
};

async function listBuilds(cli: Cli, options: ListOptions): Promise<void> {
  const { api, app } = await findTarget(cli, options.app);
  const { items } = await api.call(userEndpoints.listBuilds, {
    params: { app },
    query: { limit: options.limit },
  });
  await cli.terminal.result({ items }, () =>
    cli.terminal.table(
      ['BUILD', 'STATUS', 'COMMIT', 'TOOK', 'CREATED', 'ERROR'],
      items.map((build) => [
        { text: `#${build.number}`, paint: cli.terminal.colors.bold },
        { text: build.status, paint: statusColor(cli, build.status) },
        build.source.commit.slice(0, 10),
        took(build, cli.clock.now()),
        ago(build.createdAt, cli.clock.now()),
        build.error ?? '',
      ]),
      `${app} was never built. \`git push platform main\` builds it.`,
    ),
  );
}

async function showBuild(cli: Cli, number: string | undefined, options: AppOption): Promise<void> {
  const target = await findTarget(cli, options.app);
  const build = await findBuild(target, number);
  const { bold, dim } = cli.terminal.colors;
  const facts: [name: string, value: string][] = [
    ['status', build.status],
    ['commit', build.source.commit],
    ['image', build.image ?? '-'],
    ['took', took(build, cli.clock.now())],
    ['created', ago(build.createdAt, cli.clock.now())],
    ...(build.error === null ? [] : [['error', build.error] satisfies [string, string]]),
  ];
  await cli.terminal.result(build, async () => {
    await cli.terminal.print(bold(`Build #${build.number} of ${target.app}`));
    const rows = facts.map(([label, value]) => [{ text: label, paint: dim }, value]);
    for (const line of alignColumns(rows)) await cli.terminal.print(line);
  });
}

async function printLog(cli: Cli, given: string | undefined, options: AppOption): Promise<void> {
  const target = await findTarget(cli, options.app);
  const { number } = await findBuild(target, given);
  const params = { app: target.app, number };
  let seen = 0;
  async function* open() {
    let index = 0;
    for await (const event of target.api.stream(userEndpoints.buildLog, { params })) {
      if (index++ < seen) continue;
      seen++;
      yield event;
    }
  }
  for await (const event of readThroughRestarts(cli, { open, patientFromStart: false })) {
    if (cli.terminal.json) await cli.terminal.print(JSON.stringify(event));
    else if (event.text !== undefined) {
      await cli.terminal.print(cli.terminal.isTTY ? colorsOnly(event.text) : event.text);
    }
    if (event.status !== undefined) return;
  }
}

async function findBuild({ api, app }: Target, given: string | undefined): Promise<Build> {
  if (given !== undefined) {
    const number = /^#?([1-9]\d{0,8})$/.exec(given)?.[1];
    if (number !== undefined)
      return api.call(userEndpoints.showBuild, { params: { app, number: Number(number) } });
    throw new PlatformError('invalid_input', `${JSON.stringify(given)} is no build number`, {
      hint: '`gantry builds` lists the builds.',
    });
  }
  const { items } = await api.call(userEndpoints.listBuilds, { params: { app }, query: { limit: 1 } });
  if (items[0]) return items[0];
  throw new PlatformError('not_found', `${plain(app)} was never built`, {
    hint: '`git push platform main` builds it.',
  });
}

function took(build: Build, nowMs: number): string {
  if (build.startedAt === null) return '-';
  const end = build.finishedAt === null ? nowMs : Date.parse(build.finishedAt);
  return duration(end - Date.parse(build.startedAt));
}

function statusColor(cli: Cli, status: Build['status']): (text: string) => string {
  const { green, red, yellow, dim } = cli.terminal.colors;
  return { succeeded: green, failed: red, running: yellow, queued: dim, cancelled: dim }[status];
}
