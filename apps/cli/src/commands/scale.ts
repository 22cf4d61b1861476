import { type App, MAX_SCALE, ServiceName, userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { findTarget } from '../target.ts';
import { type AppOption, shouldWait, type Verb, type WaitOption, withApp, withWait } from '../verb.ts';
import { waitForScale } from '../wait-for-scale.ts';

type ScaleOptions = AppOption & WaitOption;

export const scale: Verb = {
  define(command, cli) {
    command
      .description(
        'Set how many instances services have, and wait until they are there. Without arguments: show it.',
      )
      .argument('[service=count...]', `for instance \`web=2\`; 0 to ${MAX_SCALE}`);
    withApp(withWait(command)).action((pairs: string[], options: ScaleOptions) => run(cli, pairs, options));
  },
  examples: [
    ['gantry scale', 'show the scale'],
    ['gantry scale web=2 worker=1', 'change two services'],
  ],
};

async function run(cli: Cli, pairs: string[], options: ScaleOptions): Promise<void> {
  const wanted = parseScale(pairs);
  const target = await findTarget(cli, options.app);
  const params = { app: target.app };
  if (pairs.length === 0) return report(cli, await target.api.call(userEndpoints.showApp, { params }));
  const app = await target.api.call(userEndpoints.scale, { params, body: { scale: wanted } });
  if (app.release === null) {
    cli.terminal.note(`${target.app} has no release yet; the scale holds from the first one on.`);
  } else if (shouldWait(options)) {
    await waitForScale(cli, target, wanted);
    return report(cli, await target.api.call(userEndpoints.showApp, { params }));
  }
  await report(cli, app);
}

async function report(cli: Cli, app: App): Promise<void> {
  await cli.terminal.result({ items: app.services }, () =>
    cli.terminal.table(
      ['SERVICE', 'SCALE', 'HEALTHY'],
      app.services.map(({ name, scale, healthy }) => [name, String(scale), String(healthy)]),
      `${app.slug} has no services yet: its first release names them.`,
    ),
  );
}

/** `web=2 worker=1` as a map. Throws `invalid_input`. */
export function parseScale(pairs: readonly string[]): Record<string, number> {
  const wanted: Record<string, number> = {};
  for (const pair of pairs) {
    const [, service = '', amount = ''] = /^([^=]*)=(\d{1,6})$/.exec(pair) ?? [];
    if (!ServiceName.safeParse(service).success || Number(amount) > MAX_SCALE) {
      throw new PlatformError('invalid_input', `${JSON.stringify(pair)} is no scale`, {
        hint: `Give service=count, for instance web=2, with a count from 0 to ${MAX_SCALE}.`,
      });
    }
    if (Object.hasOwn(wanted, service)) {
      throw new PlatformError('invalid_input', `the scale of ${service} is given twice`, {
        hint: 'Give it once.',
      });
    }
    wanted[service] = Number(amount);
  }
  return wanted;
}
