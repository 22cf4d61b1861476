import { PlatformError } from '#libs/errors';
import type { Verb } from '../verb.ts';

/** Verbs that the `gantry` script of a checkout carries out by itself: they are here for help alone. */
function scriptVerb(name: string, description: string, examples: Verb['examples']): Verb {
  return {
    define(command) {
      command.description(description).action(() => {
        throw new PlatformError('unsupported', `\`${name}\` runs only in a checkout of Gantry`, {
          hint: `Run ./gantry ${name} there.`,
        });
      });
    },
    examples,
  };
}

export const test = scriptVerb(
  'test',
  "Run every test of Gantry itself. Part of a checkout's `./gantry` script.",
  [['./gantry test', 'all tests, as CI runs them']],
);

export const check = scriptVerb(
  'check',
  "Lint and type-check Gantry itself. Part of a checkout's `./gantry` script.",
  [['./gantry check', 'what CI checks before the tests']],
);
