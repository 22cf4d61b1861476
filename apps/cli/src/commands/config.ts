import { ConfigName, type Deployment, userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { describeDeployment, finishDeployment } from '../follow-deployment.ts';
import { findTarget } from '../target.ts';
import { alignColumns, plain } from '../text.ts';
import { type AppOption, type Verb, type WaitOption, withApp, withWait } from '../verb.ts';

type ChangeOptions = AppOption & WaitOption;

interface Change {
  set?: Record<string, string>;
  unset?: string[];
}

export const config: Verb = {
  define(command, cli) {
    command.description('Config variables of an app: its environment, kept apart from its code');
    const set = command
      .command('set')
      .summary('set variables and deploy')
      .description('Set variables, which makes a new release, and follow it until it serves')
      .argument('<name=value...>', 'for instance `GREETING="hello there"`');
    withApp(withWait(set)).action((pairs: string[], options: ChangeOptions) =>
      change(cli, { set: parsePairs(pairs) }, options),
    );
    const unset = command
      .command('unset')
      .summary('remove variables and deploy')
      .description('Remove variables, which makes a new release, and follow it until it serves')
      .argument('<name...>');
    withApp(withWait(unset)).action((names: string[], options: ChangeOptions) =>
      change(cli, { unset: names.map(parseName) }, options),
    );
    const list = command
      .command('list')
      .summary('list variables (the default)')
      .description('List variables');
    withApp(list).action((options: AppOption) => listAll(cli, options));
    const get = command
      .command('get')
      .summary('print one value')
      .description('Print the value of one variable, and nothing else')
      .argument('<name>');
    withApp(get).action((name: string, options: AppOption) => printOne(cli, name, options));
  },
  examples: [
    ['gantry config set GREETING=hello LOG_LEVEL=debug', 'set two variables in one release'],
    ['gantry config unset LOG_LEVEL', 'remove one'],
    ['gantry config get GREETING', 'just the value, for a script'],
  ],
};

async function change(cli: Cli, body: Change, options: ChangeOptions): Promise<void> {
  const target = await findTarget(cli, options.app);
  const answer = await target.api.call(userEndpoints.changeConfig, { params: { app: target.app }, body });
  const { deployment } = answer;
  if (!deployment) {
    cli.terminal.note(`${target.app} runs nothing yet; the config holds from the first release on.`);
    return report(cli, answer.config, null, () => printConfig(cli, answer.config));
  }
  const ended = await finishDeployment(cli, target, deployment, options);
  await report(cli, answer.config, ended, () => cli.terminal.print(describeDeployment(target, ended)));
}

function report(
  cli: Cli,
  config: Record<string, string>,
  deployment: Deployment | null,
  text: () => Promise<void>,
): Promise<void> {
  return cli.terminal.result({ config, deployment }, text);
}

async function listAll(cli: Cli, options: AppOption): Promise<void> {
  const { api, app } = await findTarget(cli, options.app);
  const config = await api.call(userEndpoints.showConfig, { params: { app } });
  await cli.terminal.result(config, () => printConfig(cli, config));
}

async function printConfig(cli: Cli, config: Record<string, string>): Promise<void> {
  const names = Object.keys(config).sort();
  if (names.length === 0) cli.terminal.note('No config variables are set.');
  const rows = names.map((name) => [
    { text: name, paint: cli.terminal.colors.bold },
    shown(config[name] ?? ''),
  ]);
  for (const line of alignColumns(rows)) await cli.terminal.print(line);
}

/** A value on one line: line feeds visible, everything else that a terminal would act on gone. */
function shown(value: string): string {
  return plain(value).replaceAll('\n', '\\n');
}

async function printOne(cli: Cli, name: string, options: AppOption): Promise<void> {
  parseName(name);
  const { api, app } = await findTarget(cli, options.app);
  const config = await api.call(userEndpoints.showConfig, { params: { app } });
  const value = Object.hasOwn(config, name) ? config[name] : undefined;
  if (value === undefined) {
    throw new PlatformError('not_found', `${app} has no config variable ${name}`, {
      hint: '`gantry config list` shows what is set.',
    });
  }
  await cli.terminal.result({ name, value }, () =>
    cli.terminal.print(cli.terminal.isTTY ? plain(value) : value),
  );
}

/** `A=1 B=x=y` as a map; the first `=` separates. Throws `invalid_input`. */
export function parsePairs(pairs: readonly string[]): Record<string, string> {
  const entries = pairs.map((pair) => {
    const separator = pair.indexOf('=');
    if (separator > 0) return [parseName(pair.slice(0, separator)), pair.slice(separator + 1)] as const;
    throw new PlatformError('invalid_input', `${JSON.stringify(pair)} is not of the form NAME=value`, {
      hint: 'For instance: gantry config set GREETING=hello. To remove one: gantry config unset NAME.',
    });
  });
  const names = entries.map(([name]) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return Object.fromEntries(entries);
  throw new PlatformError('invalid_input', `${twice} is given twice`, { hint: 'Give each name once.' });
}

function parseName(name: string): string {
  const parsed = ConfigName.safeParse(name);
  if (parsed.success) return name;
  throw new PlatformError(
    'invalid_input',
    `${JSON.stringify(name)} cannot be the name of a config variable`,
    {
      hint: parsed.error.issues.map((issue) => issue.message).join('; '),
    },
  );
}
