import { MountPath, userEndpoints, VolumeName } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { confirmByName } from '../confirm.ts';
import { describeDeployment, finishDeployment } from '../follow-deployment.ts';
import { findTarget } from '../target.ts';
import { ago } from '../text.ts';
import { type AppOption, type Verb, type WaitOption, withApp, withWait } from '../verb.ts';

interface CreateOptions extends AppOption, WaitOption {
  mount?: string;
}

interface DestroyOptions extends AppOption {
  confirm?: string;
}

export const volumes: Verb = {
  define(command, cli) {
    command.description('Folders of an app that stay across deploys and restarts');
    const create = command
      .command('create')
      .summary('give an app a folder that stays')
      .description('Give an app a folder that stays, and follow the new deployment when the app runs')
      .argument('<name>')
      .option('--mount <path>', 'where the app finds it, for instance /data');
    withApp(withWait(create)).action((name: string, options: CreateOptions) =>
      createVolume(cli, name, options),
    );
    const list = command
      .command('list')
      .summary('list volumes (the default)')
      .description('List the volumes of an app');
    withApp(list).action((options: AppOption) => listVolumes(cli, options));
    const destroy = command
      .command('destroy')
      .summary('destroy a volume and its data')
      .description('Destroy a volume and its data. There is no way back.')
      .argument('<name>')
      .option('--confirm <name>', 'the name again, instead of being asked to type it');
    withApp(destroy).action((name: string, options: DestroyOptions) => destroyVolume(cli, name, options));
  },
  examples: [
    ['gantry volumes create uploads --mount /data', 'a folder at /data'],
    ['gantry volumes', 'what there is, and on which node'],
    ['gantry volumes destroy uploads --confirm uploads', 'destroy without being asked'],
  ],
};

async function createVolume(cli: Cli, given: string, options: CreateOptions): Promise<void> {
  const name = parseVolumeName(given);
  if (options.mount === undefined) {
    throw new PlatformError('invalid_input', `where should the app find ${name}? There is no --mount`, {
      hint: `For instance: gantry volumes create ${name} --mount /data`,
    });
  }
  const mountPath = MountPath.safeParse(options.mount);
  if (!mountPath.success) {
    throw new PlatformError(
      'invalid_input',
      `a volume cannot be mounted at ${JSON.stringify(options.mount)}`,
      {
        hint: mountPath.error.issues.map((issue) => issue.message).join('; '),
      },
    );
  }
  const target = await findTarget(cli, options.app);
  const { volume, deployment } = await target.api.call(userEndpoints.createVolume, {
    params: { app: target.app },
    body: { name, mountPath: mountPath.data },
  });
  const ended = deployment && (await finishDeployment(cli, target, deployment, options));
  await cli.terminal.result({ volume, deployment: ended }, async () => {
    await cli.terminal.print(`Created ${volume.name} at ${volume.mountPath}`);
    if (ended) await cli.terminal.print(describeDeployment(target, ended));
  });
}

async function listVolumes(cli: Cli, options: AppOption): Promise<void> {
  const { api, app } = await findTarget(cli, options.app);
  const { items } = await api.call(userEndpoints.listVolumes, { params: { app } });
  await cli.terminal.result({ items }, () =>
    cli.terminal.table(
      ['NAME', 'MOUNT', 'NODE', 'CREATED'],
      items.map((volume) => [
        { text: volume.name, paint: cli.terminal.colors.bold },
        volume.mountPath,
        volume.node ?? 'not used yet',
        ago(volume.createdAt, cli.clock.now()),
      ]),
      `${app} has no volumes. \`gantry volumes create NAME --mount /data\` makes one.`,
    ),
  );
}

async function destroyVolume(cli: Cli, given: string, options: DestroyOptions): Promise<void> {
  const name = parseVolumeName(given);
  const { api, app } = await findTarget(cli, options.app);
  await confirmByName(cli, {
    name,
    given: options.confirm,
    losses: `This deletes the volume ${name} of ${app} and all data in it.`,
    command: `gantry volumes destroy ${name} --app ${app}`,
  });
  await api.call(userEndpoints.destroyVolume, { params: { app, name } });
  await cli.terminal.result({ destroyed: name }, () => cli.terminal.print(`Destroyed ${name}`));
}

function parseVolumeName(name: string): string {
  const parsed = VolumeName.safeParse(name);
  if (parsed.success) return parsed.data;
  throw new PlatformError('invalid_input', `${JSON.stringify(name)} cannot be the name of a volume`, {
    hint: parsed.error.issues.map((issue) => issue.message).join('; '),
  });
}
