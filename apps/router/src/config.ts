import { z } from 'zod';
import { PlatformError } from '#libs/errors';

const Environment = z
  .object({
    GANTRY_CONTROL_PLANE_URL: z.url({ protocol: /^https?$/ }),
    GANTRY_ROUTER_TOKEN: z.string().min(1),
    GANTRY_ROUTER_STATE_FILE: z.string().startsWith('/'),
    GANTRY_HTTP_HOST: z.string().min(1).default('0.0.0.0'),
    GANTRY_HTTP_PORT: z.coerce.number().int().min(0).max(65535).default(8080),
    GANTRY_LISTEN_FD: z.coerce.number().int().min(3).optional(),
    GANTRY_DOMAIN: z.string().min(1).default('gantry.localhost'),
    GANTRY_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  })
  .transform((env) => ({
    controlPlaneUrl: env.GANTRY_CONTROL_PLANE_URL,
    token: env.GANTRY_ROUTER_TOKEN,
    stateFile: env.GANTRY_ROUTER_STATE_FILE,
    listenOn:
      env.GANTRY_LISTEN_FD === undefined
        ? { host: env.GANTRY_HTTP_HOST, port: env.GANTRY_HTTP_PORT }
        : { fd: env.GANTRY_LISTEN_FD },
    domain: env.GANTRY_DOMAIN,
    logLevel: env.GANTRY_LOG_LEVEL,
  }));

export type Config = z.output<typeof Environment>;

/** The router's settings. Throws `invalid_input` that names the bad variables, without their values. */
export function loadConfig(env: NodeJS.ProcessEnv): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = Environment.safeParse(given);
  if (parsed.success) return parsed.data;
  const names = [...new Set(parsed.error.issues.map((issue) => String(issue.path[0])))];
  throw new PlatformError('invalid_input', `the router's environment is not right: ${names.join(', ')}`, {
    hint: 'docs/decisions/0001-first-shape.md lists what each process is told.',
    details: { names },
  });
}
