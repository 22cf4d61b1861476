import path from 'node:path';
import { type ServiceDefinition, ServiceName } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { isFolderInside, listInside, readTextInside } from '../read-inside.ts';
import { LaunchToml, LayerName, LayerToml, parseToml } from './buildpack-files.ts';

const MAX_TOML_BYTES = 256 << 10;
const MAX_LAYERS_PER_BUILDPACK = 100;
const MAX_ENV_FILES = 200;
const MAX_ENV_BYTES = 64 << 10;
const MAX_SERVICES = 20;

/** A layer that a buildpack made, or kept from an earlier build. */
export interface BuiltLayer extends LayerToml {
  buildpack: string;
  name: string;
}

/**
 * The layers of one buildpack: every `<name>.toml` that has its folder. Written by build steps, so judged as a
 * stranger's: throws `build_failed` when a file is not what Buildpack API 0.10 says.
 */
export async function readLayers(layers: string, buildpack: string): Promise<BuiltLayer[]> {
  const built: BuiltLayer[] = [];
  for (const file of await listInside(layers, buildpack, MAX_LAYERS_PER_BUILDPACK * 3)) {
    if (!file.endsWith('.toml') || file === 'launch.toml' || file === 'build.toml' || file === 'store.toml')
      continue;
    const relative = path.join(buildpack, file);
    const name = LayerName.safeParse(file.slice(0, -'.toml'.length));
    const text = await readTextInside(layers, relative, MAX_TOML_BYTES);
    if (text === undefined || !name.success)
      throw new PlatformError('build_failed', `${relative} is not a layer's file`);
    if (!(await isFolderInside(layers, path.join(buildpack, name.data)))) continue;
    built.push({ buildpack, name: name.data, ...parseToml(LayerToml, text, relative) });
  }
  return built;
}

/** The process types of all buildpacks; a later buildpack's replaces an earlier one's of the same name. */
export async function readServices(
  layers: string,
  buildpacks: readonly string[],
): Promise<ServiceDefinition[]> {
  const services = new Map<string, ServiceDefinition>();
  for (const buildpack of buildpacks) {
    const relative = path.join(buildpack, 'launch.toml');
    const text = await readTextInside(layers, relative, MAX_TOML_BYTES);
    if (text === undefined) continue;
    for (const { type, command, args } of parseToml(LaunchToml, text, relative).processes) {
      if (!ServiceName.safeParse(type).success) {
        throw new PlatformError('build_failed', `${JSON.stringify(type)} cannot be a process type`, {
          hint: 'Use lower-case letters, digits and single dashes.',
        });
      }
      const argv = [...command, ...args];
      if (argv.some((text) => text.includes('\0')))
        throw new PlatformError('build_failed', `${relative}: the command of ${type} holds a NUL byte`);
      services.set(type, { name: type, argv });
    }
  }
  if (services.size === 0) {
    throw new PlatformError(
      'build_failed',
      'the app says nowhere how to start it: no process type was found',
      {
        hint: 'Add a Procfile with a line such as "web: node app.js", or a "start" script to package.json.',
      },
    );
  }
  if (services.size > MAX_SERVICES) {
    throw new PlatformError(
      'build_failed',
      `the app has ${services.size} process types; at most ${MAX_SERVICES} are allowed`,
    );
  }
  return [...services.values()];
}

/** One file of a layer's `env` or `env.launch` folder. */
export interface LayerVariable {
  name: string;
  action: 'default' | 'override' | 'append' | 'prepend';
  value: string;
  delimiter: string;
}

/** The launch variables of a layer (buildpack.md, "Environment Variable Modification Rules"). */
export async function readLaunchVariables(
  layers: string,
  layer: { buildpack: string; name: string },
): Promise<LayerVariable[]> {
  const variables: LayerVariable[] = [];
  for (const kind of ['env', 'env.launch']) {
    const folder = path.join(layer.buildpack, layer.name, kind);
    const files = await listInside(layers, folder, MAX_ENV_FILES);
    for (const file of files) {
      const [, name = '', suffix = 'override'] = /^([A-Za-z_][A-Za-z0-9_]*)(?:\.([a-z]+))?$/.exec(file) ?? [];
      if (!name || !isAction(suffix)) continue;
      const value = await readTextInside(layers, path.join(folder, file), MAX_ENV_BYTES);
      if (value === undefined || value.includes('\0')) continue;
      const delimiter = (await readTextInside(layers, path.join(folder, `${name}.delim`), 16)) ?? '';
      variables.push({ name, action: suffix, value, delimiter });
    }
  }
  return variables;
}

function isAction(text: string): text is LayerVariable['action'] {
  return ['default', 'override', 'append', 'prepend'].includes(text);
}
