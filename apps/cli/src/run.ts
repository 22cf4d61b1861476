import { CommanderError } from 'commander';
import { EXIT_CODE, errorMessage, PlatformError, toPlatformError } from '#libs/errors';
import type { Cli } from './cli.ts';
import { createProgram, defineVerb } from './program.ts';
import { plain } from './text.ts';
import { VERBS } from './verbs.ts';

/** Exit code after Ctrl-C: 128 + SIGINT, as shells expect it. */
export const INTERRUPTED = 130;

/** Runs one command line (without `node` and the script) and returns its exit code. Errors end on stderr. */
export async function runCli(argv: readonly string[], cli: Cli): Promise<number> {
  const args = normalize(argv);
  try {
    const program = createProgram(cli);
    const [first] = args;
    if (first === undefined) {
      program.outputHelp();
      return 0;
    }
    const entry = VERBS.find((candidate) => candidate.name === first);
    if (entry) await defineVerb(program, entry, cli);
    else if (first.startsWith('-')) throw misplacedOption(first);
    await program.parseAsync(entry ? args : [first], { from: 'user' });
    return 0;
  } catch (error) {
    cli.terminal.stopSpinner();
    if (error instanceof CommanderError && error.exitCode === 0) return 0; // help was asked for
    if (cli.signal.aborted || isAbort(error)) return INTERRUPTED;
    return report(error, cli, args);
  }
}

/** `help X` is `X --help`, `--version` is `version`, and a group alone is its default subcommand. */
function normalize(argv: readonly string[]): string[] {
  const [first, ...rest] = argv;
  if (first === undefined || first === '-h' || first === '--help') return [];
  if (first === '-v' || first === '-V' || first === '--version') return ['version', ...rest];
  if (first === 'help') return rest.length === 0 || rest[0]?.startsWith('-') ? [] : [...rest, '--help'];
  const fallback = VERBS.find(({ name }) => name === first)?.defaultSubcommand;
  const isBare =
    rest[0] === undefined || (rest[0].startsWith('-') && rest[0] !== '-h' && rest[0] !== '--help');
  return fallback !== undefined && isBare ? [first, fallback, ...rest] : [...argv];
}

function misplacedOption(option: string): PlatformError {
  return new PlatformError('invalid_input', `${option} comes before a verb`, {
    hint: 'Options follow the verb, for instance `gantry ps --json`. `gantry help` lists the verbs.',
  });
}

function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end === -1 ? args : args.slice(0, end)).includes('--json');
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** Prints the error, one line and a hint or a JSON document, and returns the exit code of its kind. */
function report(error: unknown, cli: Cli, args: readonly string[]): number {
  const verb = VERBS.find(({ name }) => name === args[0])?.name;
  const { code, message, hint, details } =
    error instanceof CommanderError ? usageError(error, verb) : describe(error);
  if (asksForJson(args)) {
    const body = {
      code,
      message,
      hint: hint ?? null,
      ...(Object.keys(details).length > 0 ? { details } : {}),
    };
    cli.terminal.error(JSON.stringify({ error: body }));
  } else {
    const { red, bold, dim } = cli.terminal.errorColors;
    cli.terminal.error(`${red(bold('error:'))} ${plain(message)}`);
    if (hint !== undefined) cli.terminal.error(`${dim('hint:')} ${plain(hint)}`);
  }
  return EXIT_CODE[code];
}

/** Anything thrown, with the words of the system for the commonest of its errors. */
function describe(error: unknown): PlatformError {
  if (error instanceof PlatformError) return error;
  return new PlatformError('internal', errorMessage(toPlatformError(error)), {
    cause: error,
    hint: 'This looks like a fault of the command line itself. Please report it with the line you typed.',
  });
}

/** Commander's `error: unknown command 'x'\n(Did you mean y?)` as an error with a hint. */
function usageError(error: CommanderError, verb: string | undefined): PlatformError {
  const [first = '', ...more] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = more.join(' ').replace(/^\((.*)\)$/, '$1');
  const hint =
    suggestion || (verb ? `\`gantry help ${verb}\` says how it is used.` : '`gantry help` lists the verbs.');
  return new PlatformError('invalid_input', first, { hint });
}
