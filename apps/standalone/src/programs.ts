import path from 'node:path';
import type { ChildSpec } from './child.ts';
import type { StandaloneConfig } from './config.ts';
import type { Installation } from './installation.ts';
import type { Layout } from './layout.ts';
import type { StandaloneOptions } from './options.ts';

/** The entry files of the parts, and the migrations. Tests put small programs in their place. */
export interface Programs {
  controlPlane: string;
  agent: string;
  router: string;
  /** Stops every instance of this node and removes what the engine made in the kernel. */
  teardown: string;
  migrations: string;
}

/** Those of this checkout; `mainDir` is `dist/apps/standalone/src`. */
export function builtPrograms(mainDir: string): Programs {
  const apps = path.resolve(mainDir, '../..');
  return {
    controlPlane: path.join(apps, 'control-plane/src/main.js'),
    agent: path.join(apps, 'agent/src/main.js'),
    router: path.join(apps, 'router/src/main.js'),
    teardown: path.join(apps, 'agent/src/teardown.js'),
    migrations: path.resolve(apps, '../../prisma/migrations'),
  };
}

/** Addresses that follow from the options. */
export interface Addresses {
  /** What the API and the router listen on: loopback for a platform whose domain only this machine resolves. */
  host: '127.0.0.1' | '0.0.0.0';
  /** The API as this machine reaches it. */
  apiUrl: string;
  /** The API as people reach it. */
  publicApiUrl: string;
  /** Where apps are, with `APP` in place of a slug. */
  appsUrl: string;
}

export function addressesOf(options: Pick<StandaloneOptions, 'domain' | 'httpPort' | 'apiPort'>): Addresses {
  const isLocal = /(^|\.)localhost$/.test(options.domain);
  const port = options.httpPort === 80 ? '' : `:${options.httpPort}`;
  const apiUrl = `http://127.0.0.1:${options.apiPort}`;
  return {
    host: isLocal ? '127.0.0.1' : '0.0.0.0',
    apiUrl,
    publicApiUrl: isLocal ? apiUrl : `http://${options.domain}:${options.apiPort}`,
    appsUrl: `http://APP.${options.domain}${port}/`,
  };
}

/** What the parts' environments are made from; the table is in docs/decisions/0001. */
export interface PartsContext {
  layout: Layout;
  options: StandaloneOptions;
  config: StandaloneConfig;
  installation: Installation;
  programs: Programs;
  databaseUrl: string;
  redisUrl: string;
  /** The listening socket that outlives each router. */
  listenFd: number;
  compileCache: string;
}

/** File descriptor that the router finds its listening socket at: after stdio and the IPC channel. */
const ROUTER_LISTEN_FD = 4;

export function controlPlaneSpec(context: PartsContext): ChildSpec {
  const { layout, options, installation, programs } = context;
  const addresses = addressesOf(options);
  const { secrets } = installation;
  return nodeProgram(context, 'control-plane', programs.controlPlane, {
    DATABASE_URL: context.databaseUrl,
    REDIS_URL: context.redisUrl,
    GANTRY_DATA_DIR: layout.dataDir,
    GANTRY_API_HOST: addresses.host,
    GANTRY_API_PORT: String(options.apiPort),
    GANTRY_DOMAIN: options.domain,
    GANTRY_HTTP_PORT: String(options.httpPort),
    GANTRY_ADMIN_TOKEN: secrets.adminToken,
    GANTRY_NODE_TOKEN: secrets.nodeToken,
    GANTRY_ROUTER_TOKEN: secrets.routerToken,
    GANTRY_MASTER_KEY: secrets.masterKey,
  });
}

export function agentSpec(context: PartsContext): ChildSpec {
  return {
    ...nodeProgram(context, 'agent', context.programs.agent, agentEnvironment(context)),
    readyTimeoutMs: 900_000, // the first one on a machine makes the base image from Debian packages
  };
}

/** Also what the teardown is told. */
export function agentEnvironment({
  layout,
  options,
  installation,
}: Pick<PartsContext, 'layout' | 'options' | 'installation'>): Record<string, string> {
  return {
    GANTRY_CONTROL_PLANE_URL: addressesOf(options).apiUrl,
    GANTRY_NODE_TOKEN: installation.secrets.nodeToken,
    GANTRY_DATA_DIR: layout.dataDir,
    GANTRY_INSTALLATION_ID: installation.id,
    GANTRY_DOCKER_SOCKET: layout.dockerSocket,
  };
}

export function routerSpec(context: PartsContext): ChildSpec {
  const { layout, options, installation, programs, listenFd } = context;
  const addresses = addressesOf(options);
  return {
    ...nodeProgram(
      context,
      'router',
      programs.router,
      {
        GANTRY_CONTROL_PLANE_URL: addresses.apiUrl,
        GANTRY_ROUTER_TOKEN: installation.secrets.routerToken,
        GANTRY_ROUTER_STATE_FILE: layout.routerStateFile,
        GANTRY_HTTP_HOST: addresses.host,
        GANTRY_HTTP_PORT: String(options.httpPort),
        GANTRY_LISTEN_FD: String(ROUTER_LISTEN_FD),
        GANTRY_DOMAIN: options.domain,
      },
      [listenFd],
    ),
    stopTimeoutMs: 40_000, // it lets requests in flight end
  };
}

function nodeProgram(
  { config, compileCache }: PartsContext,
  name: string,
  main: string,
  environment: Record<string, string>,
  inheritedFds: readonly number[] = [],
): ChildSpec {
  const env = {
    ...config.inherited,
    GANTRY_LOG_LEVEL: config.logLevel,
    NODE_COMPILE_CACHE: compileCache,
    ...environment,
  };
  return {
    name,
    command: () => ({ file: process.execPath, args: ['--enable-source-maps', main], env, inheritedFds }),
    ready: 'message',
    readyTimeoutMs: 300_000, // for one that hangs: what fails ends by itself, and a slow machine must get there
    stopSignal: 'SIGTERM',
    stopTimeoutMs: 15_000,
    orphanSignal: 'TERM',
    firstAttempts: 1,
  };
}
