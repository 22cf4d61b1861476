import { isSystemError } from '#libs/errors';
import type { Exec, RunResult } from '#libs/host';

const GIT_TIMEOUT_MS = 15_000;

/** The user's own git, in one folder. */
export class Git {
  constructor(
    private readonly exec: Exec,
    private readonly folder: string,
  ) {}

  /** `missing`: no git on this machine; `none`: the folder is no work tree; else why git refuses, or `work-tree`. */
  async state(): Promise<'work-tree' | 'none' | 'missing' | { refused: string }> {
    try {
      const { code, stdout, stderr } = await this.#try('rev-parse', '--is-inside-work-tree');
      if (code === 0) return stdout.trim() === 'true' ? 'work-tree' : 'none';
      return stderr.includes('not a git repository')
        ? 'none'
        : { refused: stderr.trim().split('\n')[0] ?? '' };
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return 'missing';
      throw error;
    }
  }

  /** The address of a remote, or undefined when there is no such remote, work tree or git. */
  async remoteUrl(remote: string): Promise<string | undefined> {
    try {
      const { code, stdout } = await this.#try('remote', 'get-url', '--', remote);
      return code === 0 ? stdout.trim() : undefined;
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async addRemote(remote: string, url: string): Promise<void> {
    await this.#run('remote', 'add', '--', remote, url);
  }

  async removeRemote(remote: string): Promise<void> {
    await this.#run('remote', 'remove', '--', remote);
  }

  /**
   * Makes git ask `helper` alone (gitcredentials(7)) for the password of `origin`, in this repository only. The empty
   * entry takes the user's other helpers off, which would ask for the token's storage or store it themselves.
   */
  async useCredentialHelper(origin: string, helper: string): Promise<void> {
    const section = `credential.${origin}`;
    await this.#run('config', '--local', '--replace-all', `${section}.helper`, '');
    await this.#run('config', '--local', '--add', `${section}.helper`, helper);
    await this.#run('config', '--local', '--replace-all', `${section}.useHttpPath`, 'false');
  }

  #try(...args: string[]): Promise<RunResult> {
    return this.exec.tryRun('git', args, { cwd: this.folder, timeoutMs: GIT_TIMEOUT_MS });
  }

  #run(...args: string[]): Promise<RunResult> {
    return this.exec.run('git', args, { cwd: this.folder, timeoutMs: GIT_TIMEOUT_MS });
  }
}

/** The platform and the app that a remote's address names (`<origin>/git/<slug>.git`), or undefined for another's. */
export function parseGitUrl(url: string): { origin: string; slug: string } | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, origin, pathname } = new URL(url);
  const slug = /^\/git\/([a-z0-9-]+)\.git\/?$/.exec(pathname)?.[1];
  return slug !== undefined && /^https?:$/.test(protocol) ? { origin, slug } : undefined;
}

/** A credential helper that runs `command` through git's shell: each word in single quotes. */
export function credentialHelper(command: readonly string[]): string {
  const words = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  return `!${words.join(' ')} git-credential`;
}
