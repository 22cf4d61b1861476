import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type RunResult, systemExec } from '#libs/host';

/** A person's work tree with real git in it, whose settings come from nowhere but here. */
export class GitClient {
  private constructor(
    readonly folder: string,
    private readonly home: string,
  ) {}

  static async create(): Promise<GitClient> {
    const home = await mkdtemp(path.join(os.tmpdir(), 'gt-git-'));
    const client = new GitClient(path.join(home, 'work'), home);
    await mkdir(client.folder);
    await client.ok('init', '--quiet', '--initial-branch=main');
    return client;
  }

  async remove(): Promise<void> {
    await rm(this.home, { recursive: true, force: true });
  }

  /** Writes files and commits them; returns the commit's id. */
  async commit(files: Record<string, string | Buffer>, message = 'change'): Promise<string> {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(path.dirname(path.join(this.folder, name)), { recursive: true });
      await writeFile(path.join(this.folder, name), content);
    }
    await this.ok('add', '--all');
    await this.ok('commit', '--quiet', '--allow-empty', '-m', message);
    return (await this.ok('rev-parse', 'HEAD')).trim();
  }

  /** Runs git and returns what it wrote to standard output. Throws when it fails. */
  async ok(...args: string[]): Promise<string> {
    return (await systemExec.run('git', args, this.#options)).stdout;
  }

  run(...args: string[]): Promise<RunResult> {
    return systemExec.tryRun('git', args, this.#options);
  }

  get #options() {
    return { cwd: this.folder, env: this.env, timeoutMs: 60_000 };
  }

  get env(): NodeJS.ProcessEnv {
    return {
      PATH: '/usr/bin:/bin',
      HOME: this.home,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      LC_ALL: 'C.UTF-8',
      GIT_AUTHOR_NAME: 'Ada',
      GIT_AUTHOR_EMAIL: 'ada@example.com',
      GIT_COMMITTER_NAME: 'Ada',
      GIT_COMMITTER_EMAIL: 'ada@example.com',
    };
  }
}
