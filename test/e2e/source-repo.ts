import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type RunResult, systemExec } from '#libs/host';

/** A developer's git work tree, driven by the real git with no configuration but its own. */
export class SourceRepo {
  private constructor(
    readonly folder: string,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  /** A new repository with the fixture's files (or none) committed on `main`. */
  static async create(fixture: string | null, env: NodeJS.ProcessEnv = {}): Promise<SourceRepo> {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'gt-src-'));
    const repo = new SourceRepo(folder, {
      PATH: process.env.PATH,
      HOME: folder,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      ...env,
    });
    await repo.git('init', '-q', '-b', 'main');
    await repo.git('config', 'user.email', 'dev@example.test');
    await repo.git('config', 'user.name', 'Dev');
    if (fixture)
      await cp(path.join(import.meta.dirname, '../fixtures/apps', fixture), folder, { recursive: true });
    if (fixture) await repo.commit('first');
    return repo;
  }

  async write(file: string, text: string): Promise<void> {
    await writeFile(path.join(this.folder, file), text);
  }

  async commit(message: string): Promise<string> {
    await this.git('add', '-A');
    await this.git('commit', '-q', '--allow-empty', '-m', message);
    return (await this.git('rev-parse', 'HEAD')).stdout.trim();
  }

  /** Runs git; throws when it fails. */
  git(...args: string[]): Promise<RunResult> {
    return systemExec.run('git', args, { cwd: this.folder, env: this.env });
  }

  /** `git push platform …`; the result's `stderr` has what the developer reads. */
  push(...refs: string[]): Promise<RunResult> {
    const args = ['push', 'platform', ...(refs.length ? refs : ['main'])];
    return systemExec.tryRun('git', args, { cwd: this.folder, env: this.env, timeoutMs: 240_000 });
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
