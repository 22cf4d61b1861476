/** What strangers may ask of the git service. Each limit's answer stands where it is checked. */
export interface GitLimits {
  /** One pack, as sent. */
  packBytes: number;
  /** What a repository may hold before pushes are refused. */
  repositoryBytes: number;
  /** The list of refs at the head of a push. */
  commandBytes: number;
  /** A fetch's wants and haves, unpacked. */
  fetchRequestBytes: number;
  refs: number;
  refNameBytes: number;
  /** Pushes at once: of all apps, of one organization's, and of one (one builds, the others wait). */
  pushes: number;
  pushesPerOrganization: number;
  pushesPerApp: number;
  fetches: number;
  fetchesPerOrganization: number;
  /** A body that brings no byte for this long is given up. */
  idleBodyMs: number;
  /** Long enough for a full queue of builds. */
  pushMs: number;
  fetchMs: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_GIT_LIMITS: GitLimits = {
  packBytes: 512 * MIB,
  repositoryBytes: 2048 * MIB,
  commandBytes: 256 * 1024,
  fetchRequestBytes: 16 * MIB,
  refs: 1_000,
  refNameBytes: 200,
  pushes: 32,
  pushesPerOrganization: 12,
  pushesPerApp: 4,
  fetches: 32,
  fetchesPerOrganization: 12,
  idleBodyMs: 60_000,
  pushMs: 90 * 60_000,
  fetchMs: 10 * 60_000,
};

/** Injection token of the limits in force. */
export const GIT_LIMITS = Symbol('git limits');
