import type { Verb } from '../verb.ts';

export const reference: Verb = {
  define(command, cli) {
    command.description('Print docs/cli.md').action(async () => {
      const { renderReference } = await import('../reference.ts');
      await cli.terminal.write(await renderReference(cli));
    });
  },
  examples: [],
};
