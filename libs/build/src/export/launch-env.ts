import type { LayerVariable } from '../buildpack/read-layers.ts';

/** What one launch layer adds to the environment. */
export interface LayerEnvironment {
  /** Path of the layer in the image. */
  path: string;
  hasBin: boolean;
  hasLib: boolean;
  variables: readonly LayerVariable[];
}

/**
 * The image's environment: the run image's, changed by each launch layer in order as CNB's launcher would at start.
 * Computed at build time, so that apps start without a launcher in front of them.
 */
export function launchEnvironment(base: readonly string[], layers: readonly LayerEnvironment[]): string[] {
  const env = new Map<string, string>();
  for (const entry of base) {
    const at = entry.indexOf('=');
    env.set(entry.slice(0, at), entry.slice(at + 1));
  }
  const join = (...parts: (string | undefined)[]) => parts.filter(Boolean).join(':');
  for (const layer of layers) {
    if (layer.hasBin) env.set('PATH', join(`${layer.path}/bin`, env.get('PATH')));
    if (layer.hasLib) env.set('LD_LIBRARY_PATH', join(`${layer.path}/lib`, env.get('LD_LIBRARY_PATH')));
    for (const variable of layer.variables) apply(env, variable);
  }
  return [...env].map(([name, value]) => `${name}=${value}`);
}

function apply(env: Map<string, string>, { name, action, value, delimiter }: LayerVariable): void {
  const before = env.get(name);
  if (action === 'override' || before === undefined || before === '') env.set(name, value);
  else if (action === 'append') env.set(name, before + delimiter + value);
  else if (action === 'prepend') env.set(name, value + delimiter + before);
}
