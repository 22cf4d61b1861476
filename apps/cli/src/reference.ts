import type { Argument, Command, Option } from 'commander';
import { ERROR_CODES, type ErrorCode, EXIT_CODE } from '#libs/errors';
import type { Cli } from './cli.ts';
import { createProgram, defineVerb } from './program.ts';
import type { Verb } from './verb.ts';
import { VERBS } from './verbs.ts';

const EXIT_MEANING: Record<ErrorCode, string> = {
  invalid_input: 'wrong usage, or input that cannot be',
  unauthenticated: 'not logged in, or the token is not accepted',
  forbidden: 'this user or token may not do that',
  not_found: 'no such app, build, release, volume …',
  conflict: 'the name is taken, or something else is in the way',
  too_large: 'more bytes than allowed',
  limit_exceeded: 'a limit or quota is reached',
  unsupported: 'the platform cannot do that',
  timeout: 'it took too long; it may still happen',
  unavailable: 'the platform cannot be reached, or is not ready',
  build_failed: 'the build failed',
  deploy_failed: 'the release never got healthy; the one before still serves',
  cancelled: 'given up by the user, or a newer deployment took its place',
  internal: 'a fault of Gantry; please report it',
};

const INTRODUCTION = `# The command line

<!-- Made from the definitions of the verbs: \`gantry reference > docs/cli.md\`. A unit test compares. -->

\`gantry VERB [options]\`. \`gantry help\` lists the verbs, \`gantry help VERB\` says how one is used.

- **Which platform**: \`GANTRY_URL\`, else the one that the git remote \`platform\` of the folder belongs to, else the
  current login. \`gantry login\` stores logins in \`config.json\` (mode 0600) in \`GANTRY_CONFIG_DIR\`, which is
  \`~/.config/gantry\` unless set. \`GANTRY_TOKEN\` is used instead of the stored token. A token is only ever sent to the
  platform that it was given for.
- **Which app**: \`--app NAME\`, else the one of the git remote \`platform\` of the folder.
- **Which platform on this machine** (\`up\`, \`down\`, \`status\`, \`login\`): \`--data DIR\`, else \`GANTRY_DATA\`, else
  \`/var/lib/gantry\`.
- **\`--json\`** prints one JSON document on stdout, as the API answers it: a list is \`{"items": […]}\`. \`logs\` and
  \`builds log\` print one document a line. Times are RFC 3339. An error is \`{"error":{"code","message","hint"}}\` on
  stderr, with \`details\` where there are any.
- Results go to stdout; progress, warnings and errors to stderr. Colours and spinners appear on terminals only;
  \`NO_COLOR\` turns colours off, \`FORCE_COLOR\` on.
- \`deploy\`, \`rollback\`, \`config set\`, \`config unset\`, \`volumes create\` and \`scale\` follow what they set off until it
  has happened, also across restarts of the platform, and fail when it fails. \`--no-wait\` returns at once.
- What destroys data asks to type the name. Without a terminal it needs \`--confirm NAME\`.
`;

/** The text of docs/cli.md. */
export async function renderReference(cli: Cli): Promise<string> {
  const program = createProgram(cli);
  const sections = [INTRODUCTION, renderExitCodes()];
  let group = '';
  for (const entry of VERBS) {
    const verb = await defineVerb(program, entry, cli);
    const command = program.commands.find((candidate) => candidate.name() === entry.name);
    if (!command || entry.hidden) continue;
    if (entry.group !== group) sections.push(`## ${entry.group.replace(':', '')}\n`);
    group = entry.group;
    sections.push(renderVerb(command, verb, entry.defaultSubcommand));
  }
  return sections.join('\n');
}

function renderExitCodes(): string {
  const rows = ERROR_CODES.map((code) => ({ exit: EXIT_CODE[code], code, meaning: EXIT_MEANING[code] }))
    .sort((a, b) => a.exit - b.exit)
    .map(({ exit, code, meaning }) => `| ${exit} | \`${code}\` | ${meaning} |`);
  return [
    '## Exit codes\n',
    '| exit code | `code` with `--json` | meaning |',
    '|---|---|---|',
    '| 0 | | done; also `logs -f` after Ctrl-C, and output that nobody reads to its end |',
    ...rows,
    '| 130 | | Ctrl-C; what was set off on the platform goes on |',
    '\n`up`, `down` and the `status` of a platform on this machine end with the code of the platform itself.\n',
  ].join('\n');
}

function renderVerb(command: Command, verb: Verb, defaultSubcommand: string | undefined): string {
  const parts = [`### gantry ${command.name()}\n`, `${command.description()}\n`];
  const subcommands = command.commands.filter((subcommand) => subcommand.name() !== 'help');
  if (subcommands.length === 0) parts.push(renderUsage(command));
  for (const subcommand of subcommands) {
    const isDefault =
      subcommand.name() === defaultSubcommand ? ` (also \`gantry ${command.name()}\` alone)` : '';
    parts.push(`#### gantry ${command.name()} ${subcommand.name()}\n`);
    parts.push(`${subcommand.description()}${isDefault}\n`, renderUsage(subcommand));
  }
  if (verb.examples.length > 0) {
    const width = Math.max(...verb.examples.map(([line]) => line.length));
    const lines = verb.examples.map(([line, meaning]) => `${line.padEnd(width)}  # ${meaning}`);
    parts.push(`\`\`\`sh\n${lines.join('\n')}\n\`\`\`\n`);
  }
  return parts.join('\n');
}

function renderUsage(command: Command): string {
  const path = command.parent?.parent ? `${command.parent.name()} ${command.name()}` : command.name();
  const usage = `\`\`\`\ngantry ${path} ${command.usage()}\n\`\`\`\n`;
  const described = command.registeredArguments.filter((argument) => argument.description);
  const rows = [...described.map(argumentRow), ...command.options.map(optionRow)];
  return rows.length === 0 ? usage : `${usage}\n| | |\n|---|---|\n${rows.join('\n')}\n`;
}

function argumentRow(argument: Argument): string {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return `| \`${name}\` | ${cell(argument.description)} |`;
}

function optionRow(option: Option): string {
  const fallback =
    option.negate || option.defaultValue === undefined ? '' : ` (default: ${option.defaultValue})`;
  return `| \`${option.flags}\` | ${cell(option.description + (option.long === '--no-wait' ? '' : fallback))} |`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/<(\w+)>/g, '&lt;$1&gt;');
}
