import { z } from 'zod';
import { PlatformError } from '#libs/errors';

const Environment = z.object({
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  REDIS_URL: z.url({ protocol: /^(rediss?|unix)$/ }).optional(),
  GANTRY_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

export interface StandaloneConfig {
  /** A PostgreSQL that the operator runs, instead of our child. */
  databaseUrl: string | undefined;
  /** A Redis that the operator runs, instead of our child. */
  redisUrl: string | undefined;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** What child processes inherit: the caller's environment without what would change how they work. */
  inherited: Record<string, string>;
}

/** Parses the environment. Throws `invalid_input` naming the bad variables, never their values. */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): StandaloneConfig {
  const parsed = Environment.safeParse(env);
  if (!parsed.success) {
    const names = [...new Set(parsed.error.issues.map((issue) => issue.path.join('.')))].join(', ');
    throw new PlatformError(
      'invalid_input',
      `cannot use the environment: ${names} has a value of the wrong form`,
      {
        hint: 'DATABASE_URL is postgresql://…, REDIS_URL redis://…; unset them to let Gantry run both itself.',
      },
    );
  }
  return {
    databaseUrl: parsed.data.DATABASE_URL,
    redisUrl: parsed.data.REDIS_URL,
    logLevel: parsed.data.GANTRY_LOG_LEVEL,
    inherited: Object.fromEntries(Object.entries(env).filter(isInherited)),
  };
}

function isInherited(entry: [string, string | undefined]): entry is [string, string] {
  const [name, value] = entry;
  return value !== undefined && !/^(PG.*|NODE_OPTIONS|NODE_CHANNEL_.*|DATABASE_URL|REDIS_URL)$/.test(name);
}
