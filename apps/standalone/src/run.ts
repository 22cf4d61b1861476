import { EXIT_CODE } from '#libs/errors';
import { systemClock, systemExec } from '#libs/host';
import { loadConfig } from './config.ts';
import { layoutOf } from './layout.ts';
import { parseOptions, type StandaloneOptions } from './options.ts';
import { Output } from './output.ts';
import { canonicalPath } from './preflight.ts';
import type { Programs } from './programs.ts';
import type { VerbContext } from './verb-context.ts';

export interface RunInput {
  argv: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
  programs: Programs;
  mainFile: string;
}

/** Runs one verb and returns the exit code. Errors end on stderr. */
export async function run({ argv, env, programs, mainFile }: RunInput): Promise<number> {
  const output = new Output(argv.includes('--json'));
  try {
    const options = parseOptions(argv);
    const layout = layoutOf(await canonicalPath(options.dataDir));
    const config = loadConfig(env);
    const exec = systemExec;
    const context: VerbContext = {
      options,
      layout,
      config,
      programs,
      mainFile,
      exec,
      clock: systemClock,
      output,
    };
    return await VERBS[options.detach && options.verb === 'up' ? 'upDetached' : options.verb](context);
  } catch (error) {
    return EXIT_CODE[output.error(error).code];
  }
}

/** Loaded when asked for: `status` is called often, and needs little of what `up` does. */
const VERBS: Record<StandaloneOptions['verb'] | 'upDetached', (context: VerbContext) => Promise<number>> = {
  up: async (context) => (await import('./up.ts')).up(context),
  upDetached: async (context) => (await import('./detach.ts')).upDetached(context),
  down: async (context) => (await import('./down.ts')).down(context),
  status: async (context) => (await import('./status.ts')).status(context),
};
