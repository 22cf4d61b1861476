import { chmod, mkdir } from 'node:fs/promises';
import { totalmem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFileDurably } from '#libs/host';
import { MAIN_REF } from './refs.ts';

/** Where git's own programs are; nothing of our environment, which holds secrets, reaches git or its hooks. */
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Memory that one git process may take. What a pack of a few kilobytes unpacks to is its sender's choice (deltas repeat),
 * and git holds such an object whole; files above `bigFileThreshold` that come plain are streamed and need none of it.
 */
const MIB = 1024 * 1024;
const GIT_MEMORY_BYTES = Math.floor(Math.min(768 * MIB, Math.max(256 * MIB, totalmem() / 8)));

/** The command for git on a stranger's repository: within its memory limit, as are the programs that it starts. */
export function gitCommand(args: readonly string[]): { file: string; args: string[] } {
  // RLIMIT_DATA: heap and anonymous memory, but not the packs that git maps.
  return { file: 'prlimit', args: [`--data=${GIT_MEMORY_BYTES}`, '--', 'git', ...args] };
}

/** What git says when it meets that limit. */
export const OUT_OF_MEMORY = /out of memory|cannot allocate memory/i;

/**
 * Every setting of every repository, in one file of ours that git reads in place of the user's: so all repositories
 * follow an upgrade of the platform, and none depends on the machine's git configuration. The three fsck rules that
 * are off are broken by old history of well-known projects and harm nobody; other hosts do the same.
 */
function configuration(hooksFolder: string): string {
  return `[core]
\thooksPath = ${JSON.stringify(hooksFolder)}
\tlogAllRefUpdates = false
\tbigFileThreshold = 64m
[safe]
\tdirectory = *
[transfer]
\tfsckObjects = true
[receive]
\tfsckObjects = true
\tprocReceiveRefs = refs
\tautogc = false
\tadvertisePushOptions = false
\tkeepAlive = 5
[receive "fsck"]
\tbadTimezone = ignore
\tmissingSpaceBeforeDate = ignore
\tzeroPaddedFilemode = ignore
[uploadpack]
\tallowFilter = false
\tkeepAlive = 5
[gc]
\tautoDetach = false
[pack]
\tthreads = 1
\twindowMemory = 64m
\tdeltaCacheSize = 64m
[tar]
\tumask = 0022
[init]
\tdefaultBranch = ${MAIN_REF.slice('refs/heads/'.length)}
[advice]
\tdefaultBranchName = false
`;
}

/** What git runs with: our configuration file, our hooks, and an environment that holds nothing else. */
export class GitEnvironment {
  /** Folder of the configuration, the hooks and an empty home. */
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Writes the files. Repeated at each start, since the program's place may have changed. */
  async prepare(): Promise<void> {
    const hooks = path.join(this.#folder, 'hooks');
    await mkdir(path.join(this.#folder, 'home'), { recursive: true, mode: 0o700 });
    await writeFileDurably(this.#config, configuration(hooks), 0o600);
    const words = [process.execPath, '--no-warnings', hookScript()].map(quote).join(' ');
    const hook = path.join(hooks, 'proc-receive');
    await writeFileDurably(hook, `#!/bin/sh\nexec ${words}\n`, 0o700);
    await chmod(hook, 0o700);
  }

  variables(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
    return {
      PATH: SYSTEM_PATH,
      HOME: path.join(this.#folder, 'home'),
      LC_ALL: 'C.UTF-8',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: this.#config,
      GIT_ATTR_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_OPTIONAL_LOCKS: '0',
      ...extra,
    };
  }

  get #config(): string {
    return path.join(this.#folder, 'gitconfig');
  }
}

/** The compiled script beside this file, or its source when that is what runs (tests). */
function hookScript(): string {
  const here = fileURLToPath(import.meta.url);
  return path.join(path.dirname(here), `proc-receive${path.extname(here)}`);
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
