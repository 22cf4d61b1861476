import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import { Id } from '#libs/contract';
import { isSystemError, PlatformError } from '#libs/errors';
import { beneath, randomText, syncFolder, systemExec } from '#libs/host';
import type { ControlPlaneConfig } from '../config.ts';
import { CONFIG } from '../tokens.ts';
import { GitEnvironment } from './git-environment.ts';
import { GitRepository } from './git-repository.ts';
import { MAIN_REF } from './refs.ts';

const OWN_FOLDER = 'platform';
const INIT_TIMEOUT_MS = 30_000;
/** A lock of git's that is older belongs to a process that died: each of ours is killed long before. */
const STALE_LOCK_MS = 2 * 60_000;
const LOCKS = ['HEAD.lock', 'packed-refs.lock', 'config.lock', `${MAIN_REF}.lock`];

/** The repositories of apps: `<data>/git/<app id>.git`, bare, made on first use. */
@Injectable()
export class GitRepositories {
  readonly #folder: string;
  readonly #environment: GitEnvironment;

  constructor(@Inject(CONFIG) config: Pick<ControlPlaneConfig, 'dataDir'>) {
    this.#folder = path.join(config.dataDir, 'git');
    this.#environment = new GitEnvironment(path.join(this.#folder, OWN_FOLDER));
  }

  /** At start: writes our configuration and hooks, and removes half-made repositories and those of destroyed apps. */
  async prepare(appIds: ReadonlySet<string>): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await this.#environment.prepare();
    for (const name of await readdir(this.#folder)) {
      const known =
        name === OWN_FOLDER || (name.endsWith('.git') && appIds.has(name.slice(0, -'.git'.length)));
      if (!known) await rm(path.join(this.#folder, name), { recursive: true, force: true });
    }
  }

  /** The app's repository, made when it is not there. */
  async open(appId: string): Promise<GitRepository> {
    const repository = this.#repository(appId);
    if (await exists(path.join(repository.folder, 'HEAD'))) await removeStaleLocks(repository.folder);
    else await this.#create(repository.folder);
    return repository;
  }

  /** The app's repository, or undefined when nothing was ever pushed to it. */
  async find(appId: string): Promise<GitRepository | undefined> {
    const repository = this.#repository(appId);
    return (await exists(path.join(repository.folder, 'HEAD'))) ? repository : undefined;
  }

  environment(extra: Record<string, string>): NodeJS.ProcessEnv {
    return this.#environment.variables(extra);
  }

  #repository(appId: string): GitRepository {
    const folder = beneath(this.#folder, `${Id.parse(appId)}.git`);
    return new GitRepository(folder, systemExec, this.#environment.variables());
  }

  /** Made aside and renamed into place, so that a crash leaves a whole repository or none. */
  async #create(folder: string): Promise<void> {
    const temporary = `${folder}.${randomText(8)}.tmp`;
    try {
      const branch = MAIN_REF.slice('refs/heads/'.length);
      const args = [
        'init',
        '--quiet',
        '--bare',
        '--template=',
        '--object-format=sha1',
        `--initial-branch=${branch}`,
      ];
      await systemExec.run('git', [...args, temporary], {
        env: this.environment({}),
        timeoutMs: INIT_TIMEOUT_MS,
      });
      await rename(temporary, folder);
      await syncFolder(this.#folder);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      if (isSystemError(error, 'ENOTEMPTY', 'EEXIST')) return; // made by a request beside us
      if (!isSystemError(error, 'ENOENT')) throw error;
      throw new PlatformError('unavailable', 'git is not installed on the platform', {
        cause: error,
        hint: 'Ask the operator to install it (apt-get install git).',
      });
    }
  }
}

async function removeStaleLocks(folder: string): Promise<void> {
  for (const name of LOCKS) {
    const file = path.join(folder, name);
    const age = await ageMs(file);
    if (age !== undefined && age > STALE_LOCK_MS) await rm(file, { force: true });
  }
}

async function ageMs(file: string): Promise<number | undefined> {
  try {
    return Date.now() - (await stat(file)).mtimeMs;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function exists(file: string): Promise<boolean> {
  return (await ageMs(file)) !== undefined;
}
