import { Command } from 'commander';
import type { Cli } from './cli.ts';
import type { Verb } from './verb.ts';
import { VERBS, type VerbEntry } from './verbs.ts';

/** The program with every verb's name and summary, but none of their code. */
export function createProgram(cli: Cli): Command {
  const program = new Command('gantry');
  program
    .description('Your own platform: `git push platform main` puts an app on a URL.')
    .usage('VERB [options]')
    .helpCommand(false)
    .helpOption('-h, --help', 'show help')
    .enablePositionalOptions()
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => cli.terminal.writeNow(text),
      writeErr: () => {},
      outputError: () => {}, // run.ts prints errors, in one way for all
      getOutHasColors: () => cli.terminal.colors.isColorSupported,
    })
    .configureHelp({ subcommandTerm: (command) => command.name(), styleTitle: cli.terminal.colors.bold })
    .hook('preAction', (_, action) => {
      cli.terminal.json = action.getOptionValue('json') === true;
    })
    .addHelpText(
      'after',
      '\nNew here: gantry up, gantry login, gantry apps create NAME, git push platform main' +
        '\n`gantry help VERB` says more. The app is that of the git remote `platform`, or --app NAME.',
    );
  for (const entry of VERBS) {
    program
      .command(entry.name, { hidden: entry.hidden === true })
      .summary(entry.summary)
      .helpGroup(entry.group);
  }
  return program;
}

/** Loads a verb and adds what it has to say to its command in `program`. */
export async function defineVerb(program: Command, entry: VerbEntry, cli: Cli): Promise<Verb> {
  const verb = await entry.load();
  const command = program.commands.find((candidate) => candidate.name() === entry.name);
  if (!command) return verb;
  verb.define(command, cli);
  if (verb.examples.length > 0) {
    const width = Math.max(...verb.examples.map(([line]) => line.length));
    const lines = verb.examples.map(([line, meaning]) => `  ${line.padEnd(width)}  ${meaning}`);
    command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
  }
  return verb;
}
