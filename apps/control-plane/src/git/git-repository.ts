import { Readable } from 'node:stream';
import { PlatformError } from '#libs/errors';
import type { Exec, RunResult } from '#libs/host';
import { gitCommand, OUT_OF_MEMORY } from './git-environment.ts';
import { isZero, MAIN_REF } from './refs.ts';

const COMMAND_TIMEOUT_MS = 30_000;
const ARCHIVE_TIMEOUT_MS = 5 * 60_000;
const GC_TIMEOUT_MS = 10 * 60_000;
const MAX_EPOCH_SECONDS = 2 ** 31 - 1;

/** One bare repository, worked on through git's plumbing. Object ids come from git itself, never from a path or shell. */
export class GitRepository {
  constructor(
    readonly folder: string,
    private readonly exec: Exec,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  /** The commit of the deploying branch, or undefined when there is no such branch yet. */
  async main(): Promise<string | undefined> {
    const { code, stdout } = await this.#try('rev-parse', '--verify', '--quiet', `${MAIN_REF}^{commit}`);
    return code === 0 ? stdout.trim() : undefined;
  }

  /** Moves the deploying branch, unless it is not at `from` any more (throws `conflict`). Undefined: it is new. */
  async moveMain(to: string, from: string | undefined): Promise<void> {
    const result = await this.#try('update-ref', MAIN_REF, to, from ?? '0'.repeat(to.length));
    if (result.code === 0) return;
    throw new PlatformError('conflict', `cannot move main to ${to.slice(0, 7)}: ${result.stderr.trim()}`, {
      hint: 'Fetch, look at what is there now, and push again.',
    });
  }

  async isCommit(oid: string): Promise<boolean> {
    const { code, stdout } = await this.#try('cat-file', '-t', oid);
    return code === 0 && stdout.trim() === 'commit';
  }

  /** True when `commit` has `ancestor` in its history, or is it. */
  async descends(commit: string, ancestor: string): Promise<boolean> {
    if (isZero(commit) || isZero(ancestor)) return false;
    return (await this.#try('merge-base', '--is-ancestor', ancestor, commit)).code === 0;
  }

  /** Seconds since the epoch, brought into what an image's time stamps can hold: the commit's author chose it. */
  async commitTime(commit: string): Promise<number> {
    const { stdout } = await this.#run('log', '-1', '--no-show-signature', '--format=%ct', commit);
    const seconds = Number.parseInt(stdout, 10);
    return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), MAX_EPOCH_SECONDS) : 0;
  }

  /** The text of a file at the top of a commit, as far as `maxBytes`; undefined when there is none. */
  async file(commit: string, name: string, maxBytes = 64 * 1024): Promise<string | undefined> {
    const options = { ...this.#options, maxOutputBytes: maxBytes };
    const { file, args } = this.#command('cat-file', 'blob', `${commit}:${name}`);
    const { code, stdout } = await this.exec.tryRun(file, args, options);
    return code === 0 ? stdout : undefined;
  }

  /** The commit's files as a tar. The stream fails when git does, so that half a tar is never taken for a whole one. */
  archive(commit: string): Readable {
    return Readable.from(this.#archive(commit), { objectMode: false });
  }

  /** How many refs there are, counted as far as `limit`. */
  async countRefs(limit: number): Promise<number> {
    const { stdout } = await this.#run('for-each-ref', `--count=${limit}`, '--format=x');
    return stdout.length / 2;
  }

  async sizeBytes(): Promise<number> {
    const { stdout } = await this.#run('count-objects', '-v');
    const kib = [...stdout.matchAll(/^size(?:-pack)?: (\d+)$/gm)].reduce(
      (sum, match) => sum + Number(match[1]),
      0,
    );
    return kib * 1024;
  }

  /** Packs loose objects once there are many. Objects of pushes under way are recent, so git keeps them. */
  async tidy(signal: AbortSignal): Promise<void> {
    const { file, args } = this.#command('gc', '--auto', '--quiet');
    await this.exec.run(file, args, {
      ...this.#options,
      timeoutMs: GC_TIMEOUT_MS,
      signal,
    });
  }

  async *#archive(commit: string): AsyncGenerator<Buffer> {
    const { file, args } = this.#command('archive', '--format=tar', commit);
    const child = this.exec.spawn(file, args, {
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: ARCHIVE_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    const ended = new Promise<number | null>((resolve) =>
      child.once('error', () => resolve(null)).once('close', resolve),
    );
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString('utf8')).slice(-1_000)));
    try {
      if (child.stdout) for await (const chunk of child.stdout) yield chunk;
      const code = await ended;
      if (code !== 0 && OUT_OF_MEMORY.test(said)) throw tooLarge(commit);
      if (code !== 0)
        throw new PlatformError('internal', `git archive of ${commit} ended with ${code}: ${said.trim()}`);
    } finally {
      child.kill('SIGKILL');
    }
  }

  #command(...args: string[]) {
    return gitCommand(['--git-dir', this.folder, ...args]);
  }

  get #options() {
    return { env: this.env, timeoutMs: COMMAND_TIMEOUT_MS };
  }

  #try(...args: string[]): Promise<RunResult> {
    const command = this.#command(...args);
    return this.exec.tryRun(command.file, command.args, this.#options);
  }

  #run(...args: string[]): Promise<RunResult> {
    const command = this.#command(...args);
    return this.exec.run(command.file, command.args, this.#options);
  }
}

function tooLarge(commit: string): PlatformError {
  return new PlatformError('too_large', `a file of commit ${commit.slice(0, 7)} is too large to be read`, {
    hint: 'Keep large files out of the repository (.gitignore); data belongs in a volume.',
  });
}
