import type { Verb } from './verb.ts';

export interface VerbEntry {
  name: string;
  /** The line in `gantry help`. */
  summary: string;
  group: string;
  /** Loads the verb's code: only the verb that runs is ever loaded. */
  load(): Promise<Verb>;
  /** Subcommand that `gantry NAME` alone means. */
  defaultSubcommand?: string;
  hidden?: boolean;
}

const APPS = 'Apps:';
const DEPLOYING = 'Deploying:';
const RUNNING = 'Running:';
const PLATFORM = 'Platform:';
const ACCOUNT = 'Account:';

/** Every verb, in the order of `gantry help`. */
export const VERBS: readonly VerbEntry[] = [
  {
    name: 'apps',
    summary: 'create, list, show and destroy apps',
    group: APPS,
    load: async () => (await import('./commands/apps.ts')).apps,
    defaultSubcommand: 'list',
  },
  {
    name: 'config',
    summary: 'config variables of an app',
    group: APPS,
    load: async () => (await import('./commands/config.ts')).config,
    defaultSubcommand: 'list',
  },
  {
    name: 'volumes',
    summary: 'folders of an app that stay',
    group: APPS,
    load: async () => (await import('./commands/volumes.ts')).volumes,
    defaultSubcommand: 'list',
  },
  {
    name: 'open',
    summary: "open an app's address",
    group: APPS,
    load: async () => (await import('./commands/open.ts')).open,
  },
  {
    name: 'deploy',
    summary: 'deploy an image',
    group: DEPLOYING,
    load: async () => (await import('./commands/deploy.ts')).deploy,
  },
  {
    name: 'builds',
    summary: 'builds and their logs',
    group: DEPLOYING,
    load: async () => (await import('./commands/builds.ts')).builds,
    defaultSubcommand: 'list',
  },
  {
    name: 'releases',
    summary: 'what was deployed, when and why',
    group: DEPLOYING,
    load: async () => (await import('./commands/releases.ts')).releases,
  },
  {
    name: 'rollback',
    summary: 'deploy an earlier release again',
    group: DEPLOYING,
    load: async () => (await import('./commands/rollback.ts')).rollback,
  },
  {
    name: 'ps',
    summary: 'instances of an app and how they are',
    group: RUNNING,
    load: async () => (await import('./commands/ps.ts')).ps,
  },
  {
    name: 'scale',
    summary: 'how many instances services have',
    group: RUNNING,
    load: async () => (await import('./commands/scale.ts')).scale,
  },
  {
    name: 'logs',
    summary: "an app's log lines",
    group: RUNNING,
    load: async () => (await import('./commands/logs.ts')).logs,
  },
  {
    name: 'up',
    summary: 'start a platform on this machine',
    group: PLATFORM,
    load: async () => (await import('./commands/platform.ts')).up,
  },
  {
    name: 'down',
    summary: 'stop the platform of this machine',
    group: PLATFORM,
    load: async () => (await import('./commands/platform.ts')).down,
  },
  {
    name: 'status',
    summary: 'how the platform is',
    group: PLATFORM,
    load: async () => (await import('./commands/status.ts')).status,
  },
  {
    name: 'nodes',
    summary: 'worker nodes',
    group: PLATFORM,
    load: async () => (await import('./commands/nodes.ts')).nodes,
  },
  {
    name: 'test',
    summary: "run Gantry's own tests (in a checkout)",
    group: PLATFORM,
    load: async () => (await import('./commands/checkout.ts')).test,
  },
  {
    name: 'check',
    summary: "lint and type-check Gantry's own code (in a checkout)",
    group: PLATFORM,
    load: async () => (await import('./commands/checkout.ts')).check,
  },
  {
    name: 'login',
    summary: 'log in to a platform',
    group: ACCOUNT,
    load: async () => (await import('./commands/login.ts')).login,
  },
  {
    name: 'logout',
    summary: 'forget a login',
    group: ACCOUNT,
    load: async () => (await import('./commands/logout.ts')).logout,
  },
  {
    name: 'tokens',
    summary: 'API tokens for programs',
    group: ACCOUNT,
    load: async () => (await import('./commands/tokens.ts')).tokens,
    defaultSubcommand: 'list',
  },
  {
    name: 'version',
    summary: 'print the version',
    group: ACCOUNT,
    load: async () => (await import('./commands/version.ts')).version,
  },
  {
    name: 'help',
    summary: 'show help, also `gantry help VERB`',
    group: ACCOUNT,
    load: async () => (await import('./commands/help.ts')).help,
  },
  {
    name: 'git-credential',
    summary: 'answer git as a credential helper',
    group: ACCOUNT,
    load: async () => (await import('./commands/git-credential.ts')).gitCredential,
    hidden: true,
  },
  {
    name: 'reference',
    summary: 'print docs/cli.md',
    group: ACCOUNT,
    load: async () => (await import('./commands/reference.ts')).reference,
    hidden: true,
  },
];
