import { PlatformError } from '#libs/errors';
import type { Cli } from './cli.ts';
import { askLine } from './prompt.ts';
import { plain } from './text.ts';

export interface Confirmation {
  /** What has to be typed. */
  name: string;
  /** `--confirm`, if it was given. */
  given: string | undefined;
  /** What will be gone, in a sentence. */
  losses: string;
  /** The command line without `--confirm`, to say how to do it without a terminal. */
  command: string;
}

/**
 * Returns once the user has said the name of what is to be destroyed. Throws `invalid_input` when nobody can be
 * asked or `--confirm` names something else, `cancelled` when the answer is another.
 */
export async function confirmByName(cli: Cli, confirmation: Confirmation): Promise<void> {
  const { name, given, command } = confirmation;
  const losses = plain(confirmation.losses);
  if (given === name) return;
  if (given !== undefined) {
    throw new PlatformError(
      'invalid_input',
      `--confirm says ${JSON.stringify(given)}, not ${JSON.stringify(name)}`,
      {
        hint: 'Nothing was destroyed.',
      },
    );
  }
  if (!cli.terminal.isInteractive || cli.terminal.json) {
    throw new PlatformError(
      'invalid_input',
      `${command} needs a confirmation, and nobody can be asked. ${losses}`,
      {
        hint: `If that is what you want: ${command} --confirm ${name}`,
      },
    );
  }
  cli.terminal.note(losses);
  const answer = await askLine(cli, `There is no way back. Type ${name} to go on: `);
  if (answer.trim() === name) return;
  throw new PlatformError('cancelled', `that was not ${name}`, { hint: 'Nothing was destroyed.' });
}
