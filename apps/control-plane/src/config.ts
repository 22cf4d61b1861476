import { z } from 'zod';
import { PlatformError } from '#libs/errors';

const Environment = z.object({
  DATABASE_URL: z.string().min(1),
  REDIS_URL: z.string().min(1),
  GANTRY_DATA_DIR: z.string().startsWith('/'),
  GANTRY_API_HOST: z.string().default('127.0.0.1'),
  GANTRY_API_PORT: z.coerce.number().int().min(0).max(65_535),
  GANTRY_DOMAIN: z.hostname(),
  GANTRY_HTTP_PORT: z.coerce.number().int().min(1).max(65_535),
  GANTRY_ADMIN_TOKEN: z.string().min(32),
  GANTRY_NODE_TOKEN: z.string().min(32),
  GANTRY_ROUTER_TOKEN: z.string().min(32),
  GANTRY_MASTER_KEY: z
    .string()
    .transform((text) => Buffer.from(text, 'base64url'))
    .refine((key) => key.length === 32),
  GANTRY_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

export interface ControlPlaneConfig {
  databaseUrl: string;
  redisUrl: string;
  dataDir: string;
  apiHost: string;
  apiPort: number;
  /** Apps are served at `<slug>.<domain>`. */
  domain: string;
  /** The port that routers serve on, for the URLs shown to users. */
  httpPort: number;
  adminToken: string;
  nodeToken: string;
  routerToken: string;
  masterKey: Buffer;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** Reads the process environment. Throws `invalid_input` naming the bad keys, never their values. */
export function loadConfig(env: NodeJS.ProcessEnv): ControlPlaneConfig {
  const parsed = Environment.safeParse(env);
  if (!parsed.success) {
    const keys = [...new Set(parsed.error.issues.map((issue) => String(issue.path[0])))];
    throw new PlatformError('invalid_input', `control plane: missing or bad environment: ${keys.join(', ')}`);
  }
  const e = parsed.data;
  return {
    databaseUrl: e.DATABASE_URL,
    redisUrl: e.REDIS_URL,
    dataDir: e.GANTRY_DATA_DIR,
    apiHost: e.GANTRY_API_HOST,
    apiPort: e.GANTRY_API_PORT,
    domain: e.GANTRY_DOMAIN,
    httpPort: e.GANTRY_HTTP_PORT,
    adminToken: e.GANTRY_ADMIN_TOKEN,
    nodeToken: e.GANTRY_NODE_TOKEN,
    routerToken: e.GANTRY_ROUTER_TOKEN,
    masterKey: e.GANTRY_MASTER_KEY,
    logLevel: e.GANTRY_LOG_LEVEL,
  };
}

/** The address a person uses for an app. */
export function appUrl(config: Pick<ControlPlaneConfig, 'domain' | 'httpPort'>, slug: string): string {
  const port = config.httpPort === 80 ? '' : `:${config.httpPort}`;
  return `http://${slug}.${config.domain}${port}/`;
}

/** The address of the API as a person or an agent on this machine reaches it. */
export function apiUrl(config: Pick<ControlPlaneConfig, 'apiHost' | 'apiPort' | 'domain'>): string {
  const local = config.apiHost === '127.0.0.1' || config.apiHost === '::1';
  return `http://${local ? '127.0.0.1' : config.domain}:${config.apiPort}`;
}
