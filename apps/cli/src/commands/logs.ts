import { Id, type LogEntry, ServiceName, userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { followLogs, type LogQuery } from '../follow-logs.ts';
import { parseCount, parseTime } from '../options.ts';
import { findTarget, type Target } from '../target.ts';
import { colorsOnly, instanceName } from '../text.ts';
import { type AppOption, type Verb, withApp } from '../verb.ts';

interface LogsOptions extends AppOption {
  follow?: boolean;
  tail: number;
  service?: string;
  instance?: string;
  since?: string;
  timestamps?: boolean;
}

const MAX_TAIL = 10_000;

export const logs: Verb = {
  define(command, cli) {
    command
      .description("Print an app's log lines, oldest first. With --json one document a line.")
      .option('-f, --follow', 'go on with new lines until Ctrl-C; survives restarts of the control plane')
      .option('-n, --tail <count>', 'how many past lines', (text) => parseCount(text, 0, MAX_TAIL), 100)
      .option('-s, --service <name>', 'only of this service, for instance web')
      .option('-i, --instance <id>', 'only of this instance, as `gantry ps` names it')
      .option('--since <time>', 'only from then on: `10m`, `2h`, or a time like 2026-01-31T12:00:00Z')
      .option('-t, --timestamps', 'put the time before each line');
    withApp(command).action((options: LogsOptions) => run(cli, options));
  },
  examples: [
    ['gantry logs', 'the last 100 lines'],
    ['gantry logs -f --tail 0', 'only what comes from now on'],
    ['gantry logs --service worker --since 1h --json', 'an hour of one service, for a program'],
  ],
};

async function run(cli: Cli, options: LogsOptions): Promise<void> {
  const { service } = options;
  if (service !== undefined && !ServiceName.safeParse(service).success) {
    throw new PlatformError('invalid_input', `${JSON.stringify(service)} is no service`, {
      hint: '`gantry scale` shows the services of an app.',
    });
  }
  const since = options.since === undefined ? undefined : parseTime(options.since, cli.clock.now());
  const target = await findTarget(cli, options.app);
  const instance = options.instance === undefined ? undefined : await findInstance(target, options.instance);
  const query: LogQuery = { tail: options.tail, service, instance, since };
  if (options.follow) return follow(cli, target, query, options);
  const request = { params: { app: target.app }, query };
  let isEmpty = true;
  for await (const entry of target.api.stream(userEndpoints.logs, request)) {
    isEmpty = false;
    await printEntry(cli, entry, options);
  }
  if (isEmpty) cli.terminal.note(`No log lines of ${target.app} yet, or none that match.`);
}

async function follow(cli: Cli, target: Target, query: LogQuery, options: LogsOptions): Promise<void> {
  try {
    for await (const entry of followLogs(cli, target, query)) await printEntry(cli, entry, options);
  } catch (error) {
    if (!cli.signal.aborted) throw error; // Ctrl-C is how following ends
  }
}

async function printEntry(cli: Cli, entry: LogEntry, options: LogsOptions): Promise<void> {
  const { terminal } = cli;
  if (terminal.json) return terminal.print(JSON.stringify(entry));
  const time = options.timestamps ? `${terminal.colors.dim(entry.at)} ` : '';
  const name = instanceName({ service: entry.service, id: entry.instance });
  const text = terminal.isTTY ? colorsOnly(entry.text) : entry.text;
  const body = entry.stream === 'platform' ? terminal.colors.dim(text) : text;
  await terminal.print(`${time}${colorOf(cli, name)(`${name} |`)} ${body}`);
}

/** Each instance keeps one colour, whatever order lines come in. */
function colorOf(cli: Cli, name: string): (text: string) => string {
  const { cyan, green, yellow, magenta, blue } = cli.terminal.colors;
  const palette = [cyan, green, yellow, magenta, blue];
  let sum = 0;
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 65_521;
  return palette[sum % palette.length] ?? cyan;
}

/** The id of the instance that the user means: an id, `web.3k9d2a`, or the beginning of either's last part. */
async function findInstance({ api, app }: Target, given: string): Promise<string> {
  if (Id.safeParse(given).success) return given;
  const { items } = await api.call(userEndpoints.listInstances, { params: { app } });
  const found = items.filter((item) => {
    const idText = item.id.slice(item.id.indexOf('_') + 1);
    const [service, start] = given.includes('.') ? given.split('.', 2) : [item.service, given];
    return service === item.service && start !== undefined && start !== '' && idText.startsWith(start);
  });
  if (found.length === 1 && found[0]) return found[0].id;
  const what = found.length === 0 ? 'no instance' : 'more than one instance';
  throw new PlatformError('not_found', `${what} of ${app} is called ${JSON.stringify(given)}`, {
    hint: '`gantry ps` shows those that run; one that is gone needs its whole id (`gantry logs --json` shows ids).',
  });
}
