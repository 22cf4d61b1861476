import { mkdir, readdir, readFile, readlink, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { errorMessage, isSystemError, PlatformError } from '#libs/errors';
import { type Clock, type Exec, readFileIfExists, syncFolder } from '#libs/host';
import type { ChildSpec } from './child.ts';
import type { Layout } from './layout.ts';
import { endProcess, identify } from './process-identity.ts';
import { giveTo, ownerOf, type UnixUser } from './unix-user.ts';

const INSTALLED_UNDER = '/usr/lib/postgresql';
const DATABASE = 'gantry';
const RETRY_MS = 20;

/** Crash recovery of a large database may take minutes; a smaller limit would kill it in the middle, for ever. */
const READY_TIMEOUT_MS = 600_000;
const STOP_TIMEOUT_MS = 30_000;

export interface PostgresOptions {
  layout: Layout;
  exec: Exec;
  clock: Clock;
  /** Part of the name that `ps` shows. */
  installationId: string;
}

/** The platform's own PostgreSQL: on a unix socket only, in a folder that its user and root alone can enter. */
export class Postgres {
  readonly #options: PostgresOptions;

  constructor(options: PostgresOptions) {
    this.#options = options;
  }

  /** `postgresql://…` of the platform's database, or of another one of this server. */
  url(database = DATABASE): string {
    return `postgresql://gantry@localhost/${database}?host=${encodeURIComponent(this.#options.layout.postgresSocketDir)}`;
  }

  /** Makes the cluster when there is none yet. A crash in the middle leaves a `postgres.new`, made again next time. */
  async prepare(): Promise<void> {
    const { layout, exec } = this.#options;
    const user = await this.#user();
    await mkdir(layout.postgresSocketDir, { recursive: true, mode: 0o700 });
    await giveTo(user, layout.postgresSocketDir);
    if ((await readFileIfExists(path.join(layout.postgresDir, 'PG_VERSION'))) !== undefined) return;
    const unfinished = `${layout.postgresDir}.new`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { mode: 0o700 });
    await giveTo(user, unfinished);
    const initdb = path.join(await newestInstalled(), 'initdb');
    // Whoever reaches the socket is let in: its folder's mode decides who that is.
    const args = [
      '-D',
      unfinished,
      '-U',
      'gantry',
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
      '--auth=trust',
      '--data-checksums',
    ];
    await exec.run('setpriv', [...asUser(user), initdb, ...args], { cwd: '/', timeoutMs: 120_000 });
    await rename(unfinished, layout.postgresDir);
    await syncFolder(layout.dataDir);
  }

  spec(): ChildSpec {
    return {
      name: 'postgres',
      command: () => this.#command(),
      ready: (signal) => this.#waitUntilReady(signal),
      readyTimeoutMs: READY_TIMEOUT_MS,
      stopSignal: 'SIGINT', // "fast": open transactions are rolled back (pg_ctl(1))
      stopTimeoutMs: STOP_TIMEOUT_MS,
      orphanSignal: 'INT',
      // after kill -9 its shared memory is in use until the last backend has noticed
      firstAttempts: 6,
    };
  }

  /** Makes the platform's database when the cluster has none yet. */
  async ensureDatabase(): Promise<void> {
    try {
      await withClient(this.url(), async () => {});
    } catch (error) {
      if (!isDatabaseError(error, '3D000')) throw error;
      await withClient(this.url('postgres'), (client) => client.query(`CREATE DATABASE ${DATABASE}`));
    }
  }

  async #command() {
    const { layout, installationId } = this.#options;
    const user = await this.#user();
    const version = (await readFile(path.join(layout.postgresDir, 'PG_VERSION'), 'utf8')).trim();
    await this.#clearStalePid();
    const settings = {
      listen_addresses: '',
      unix_socket_directories: layout.postgresSocketDir,
      cluster_name: `gantry-${installationId}`,
      max_connections: '100',
      shared_buffers: '64MB',
      logging_collector: 'off',
      log_destination: 'stderr',
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    return {
      file: path.join(await installed(version, layout.postgresDir), 'postgres'),
      args: ['-D', layout.postgresDir, ...args],
      env: { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8' },
      uid: user.uid,
      gid: user.gid,
    };
  }

  /**
   * postmaster.pid is the server's own guard against two of them on one folder, and usually its own to judge. Two cases
   * are ours: a server that a killed supervisor left is ended, and a pid that by now is another process of the same
   * user (of the host's own PostgreSQL, after a reboot) would keep ours from starting for ever.
   */
  async #clearStalePid(): Promise<void> {
    const { layout, clock } = this.#options;
    const file = path.join(layout.postgresDir, 'postmaster.pid');
    const pid = Number((await readFileIfExists(file))?.split('\n')[0]);
    const found = Number.isInteger(pid) && pid > 1 ? await identify(pid) : undefined;
    if (!found) return;
    const working = await processesIn(layout.postgresDir);
    if (working.includes(pid))
      await endProcess(found, { signal: 'SIGINT', timeoutMs: STOP_TIMEOUT_MS, clock });
    // with a backend of the old server still at work, the guard must stay
    else if (working.length === 0) await rm(file, { force: true });
  }

  /** The user that owns the cluster, so that it stays the same; else Debian's `postgres`. */
  async #user(): Promise<UnixUser> {
    return ownerOf(this.#options.exec, this.#options.layout.postgresDir, 'postgres');
  }

  async #waitUntilReady(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await withClient(this.url('postgres'), async () => {});
      } catch {
        await this.#options.clock.sleep(RETRY_MS, signal);
      }
    }
  }
}

/** Checks that a PostgreSQL run by somebody else answers. Throws `unavailable`. */
export async function checkDatabase(url: string): Promise<void> {
  try {
    await withClient(url, async () => {});
  } catch (cause) {
    throw new PlatformError(
      'unavailable',
      `cannot use the PostgreSQL of DATABASE_URL: ${errorMessage(cause)}`,
      {
        cause,
        hint: 'Check that it runs and that the address, user and password are right, or unset DATABASE_URL.',
      },
    );
  }
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on('error', () => {}); // a connection that breaks fails the query that runs on it
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

function asUser(user: UnixUser): string[] {
  return ['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups', '--'];
}

async function newestInstalled(): Promise<string> {
  const versions = await installedVersions();
  const newest = versions.sort((a, b) => Number(b) - Number(a))[0];
  if (newest === undefined) {
    throw new PlatformError('not_found', `cannot start PostgreSQL: there is none in ${INSTALLED_UNDER}`, {
      hint: 'Start the platform with `./gantry up`, which installs it, or run `apt-get install postgresql`.',
    });
  }
  return path.join(INSTALLED_UNDER, newest, 'bin');
}

async function installed(version: string, postgresDir: string): Promise<string> {
  if ((await installedVersions()).includes(version)) return path.join(INSTALLED_UNDER, version, 'bin');
  throw new PlatformError(
    'not_found',
    `cannot open ${postgresDir}: it was made by PostgreSQL ${version}, which is gone`,
    {
      hint: `Install it again: apt-get install postgresql-${version}`,
    },
  );
}

async function installedVersions(): Promise<string[]> {
  try {
    return (await readdir(INSTALLED_UNDER)).filter((name) => /^\d+$/.test(name));
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return [];
    throw error;
  }
}

/** The processes whose working folder is `folder`; a server and all its backends are in their data folder. */
async function processesIn(folder: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const folders = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => undefined)));
  return pids.filter((_, i) => folders[i] === folder).map(Number);
}

function isDatabaseError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
