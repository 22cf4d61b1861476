import { homedir } from 'node:os';
import path from 'node:path';

export interface CliConfig {
  /** Address of the control plane that overrides the stored logins (`GANTRY_URL`). */
  url: string | undefined;
  /** API token that overrides the stored ones (`GANTRY_TOKEN`). */
  token: string | undefined;
  /** Folder of `config.json` (`GANTRY_CONFIG_DIR`). */
  configDir: string;
  /** Data folder of the platform on this machine (`GANTRY_DATA`). */
  dataDir: string;
  /** `auto` colours terminals only; NO_COLOR (no-color.org) and FORCE_COLOR decide otherwise. */
  color: 'auto' | 'never' | 'always';
  /** Whether a browser could be opened: the session has a display. */
  graphical: boolean;
}

/** Reads what the CLI honours of the environment. Empty variables count as unset; nothing is checked here yet. */
export function loadConfig(env: NodeJS.ProcessEnv): CliConfig {
  const home = env.HOME || homedir();
  return {
    url: env.GANTRY_URL || undefined,
    token: env.GANTRY_TOKEN || undefined,
    configDir: path.resolve(env.GANTRY_CONFIG_DIR || path.join(home, '.config', 'gantry')),
    dataDir: path.resolve(env.GANTRY_DATA || '/var/lib/gantry'),
    color: colorMode(env),
    graphical: process.platform === 'darwin' || Boolean(env.DISPLAY || env.WAYLAND_DISPLAY),
  };
}

function colorMode(env: NodeJS.ProcessEnv): CliConfig['color'] {
  if (env.NO_COLOR) return 'never';
  if (env.FORCE_COLOR && env.FORCE_COLOR !== '0') return 'always';
  return env.TERM === 'dumb' ? 'never' : 'auto';
}
