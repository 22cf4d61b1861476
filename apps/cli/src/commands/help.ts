import type { Verb } from '../verb.ts';

/** Only described here: `gantry help VERB` is read as `gantry VERB --help` before anything is parsed. */
export const help: Verb = {
  define(command) {
    command.description('Show all verbs, or how one of them is used').argument('[verb...]');
  },
  examples: [['gantry help apps create', 'how apps are created']],
};
