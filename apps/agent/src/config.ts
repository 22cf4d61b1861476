import path from 'node:path';
import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import type { LogLevel } from '#libs/log';

const BASES_DIR = '/var/cache/gantry/bases';
const SHARED_LAYERS_DIR = '/var/cache/gantry/layers';

const Environment = z.object({
  GANTRY_CONTROL_PLANE_URL: z.url({ protocol: /^https?$/ }),
  GANTRY_NODE_TOKEN: z.string().min(1),
  GANTRY_DATA_DIR: z.string().refine(path.isAbsolute, 'must be an absolute path'),
  GANTRY_INSTALLATION_ID: z.string().regex(/^[0-9a-z]{5}$/, 'must be 5 characters of 0-9a-z'),
  GANTRY_DOCKER_SOCKET: z.string().refine(path.isAbsolute, 'must be an absolute path').optional(),
  GANTRY_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

/** What the agent and its teardown are told, and the folders that follow from it. */
export interface AgentConfig {
  controlPlaneUrl: string;
  nodeToken: string;
  installationId: string;
  dockerSocket: string | undefined;
  logLevel: LogLevel;
  /** Variables that build steps need to reach the network from here. */
  buildNetworkEnv: Record<string, string>;
  paths: AgentPaths;
}

/** Handed to build steps as the host has them: proxies and registry mirrors, never credentials of the platform. */
const BUILD_NETWORK_VARIABLES = [
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'npm_config_registry',
];

export interface AgentPaths {
  /** `<data>/agent`: everything below is the agent's. */
  root: string;
  engine: string;
  builds: string;
  /** Cached layers, one folder per app; on the file system of `builds`. */
  buildCache: string;
  /** Made once a machine, not once a platform. */
  bases: string;
  /** Unpacked base layers, likewise. */
  sharedLayers: string;
  volumes: string;
  /** One durable record per instance: attempts, crashes, back-off. */
  instances: string;
  /** How far each container's log has been sent. */
  logOffsets: string;
  desiredFile: string;
  imagesFile: string;
}

/**
 * Parses the environment (docs/decisions/0001). Throws `invalid_input` naming the bad variables, never their values.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): AgentConfig {
  const parsed = Environment.safeParse(env);
  if (!parsed.success) {
    const bad = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
    throw new PlatformError('invalid_input', `cannot start the agent, bad environment: ${bad}`, {
      hint: 'The agent is started by `gantry up`, which sets these variables.',
    });
  }
  const root = path.join(parsed.data.GANTRY_DATA_DIR, 'agent');
  return {
    controlPlaneUrl: parsed.data.GANTRY_CONTROL_PLANE_URL,
    nodeToken: parsed.data.GANTRY_NODE_TOKEN,
    installationId: parsed.data.GANTRY_INSTALLATION_ID,
    dockerSocket: parsed.data.GANTRY_DOCKER_SOCKET,
    logLevel: parsed.data.GANTRY_LOG_LEVEL,
    buildNetworkEnv: Object.fromEntries(
      BUILD_NETWORK_VARIABLES.flatMap((name) => (env[name] ? [[name, env[name]]] : [])),
    ),
    paths: {
      root,
      engine: path.join(root, 'engine'),
      builds: path.join(root, 'builds'),
      buildCache: path.join(root, 'build-cache'),
      bases: BASES_DIR,
      sharedLayers: SHARED_LAYERS_DIR,
      volumes: path.join(root, 'volumes'),
      instances: path.join(root, 'instances'),
      logOffsets: path.join(root, 'log-offsets'),
      desiredFile: path.join(root, 'desired.json'),
      imagesFile: path.join(root, 'images.json'),
    },
  };
}
