import path from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { errorMessage, PlatformError } from '#libs/errors';

const port = (option: string) =>
  z.coerce.number(`${option} must be a number`).int().min(1).max(65_535, `${option} must be at most 65535`);

const Options = z.object({
  verb: z.enum(['up', 'down', 'status'], 'the verbs are up, down and status'),
  data: z.string().min(1, '--data needs a folder').default('/var/lib/gantry'),
  domain: z.hostname('--domain must be a host name').max(190).default('gantry.localhost'),
  'http-port': port('--http-port').default(8080),
  'api-port': port('--api-port').default(8081),
  detach: z.boolean().default(false),
  json: z.boolean().default(false),
});

export interface StandaloneOptions {
  verb: 'up' | 'down' | 'status';
  /** Absolute. */
  dataDir: string;
  /** Apps are served at `<slug>.<domain>`. */
  domain: string;
  httpPort: number;
  apiPort: number;
  /** Run in the background, and return once it is ready. */
  detach: boolean;
  /** The result as JSON on standard output; progress goes to standard error. */
  json: boolean;
}

/** Parses the command line: `[up|down|status] [options]`. Throws `invalid_input`. */
export function parseOptions(argv: readonly string[]): StandaloneOptions {
  const parsed = Options.safeParse(splitArguments(argv));
  if (!parsed.success) throw usageError(parsed.error.issues.map((issue) => issue.message).join('; '));
  const options = parsed.data;
  if (options['http-port'] === options['api-port']) {
    throw usageError(`--http-port and --api-port are both ${options['http-port']}`);
  }
  return {
    verb: options.verb,
    dataDir: path.resolve(options.data),
    domain: options.domain.toLowerCase(),
    httpPort: options['http-port'],
    apiPort: options['api-port'],
    detach: options.detach,
    json: options.json,
  };
}

function splitArguments(argv: readonly string[]): Record<string, unknown> {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = { data: text, domain: text, 'http-port': text, 'api-port': text, detach: flag, json: flag };
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    if (positionals.length > 1) throw usageError(`unexpected argument ${JSON.stringify(positionals[1])}`);
    return { verb: positionals[0] ?? 'up', ...values };
  } catch (error) {
    if (error instanceof PlatformError) throw error;
    throw usageError(errorMessage(error));
  }
}

function usageError(problem: string): PlatformError {
  return new PlatformError('invalid_input', problem, {
    hint: 'Usage: gantry up|down|status [--data DIR] [--domain NAME] [--http-port N] [--api-port N] [--detach] [--json]',
  });
}
