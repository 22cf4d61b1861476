import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { systemExec } from '#libs/host';

const NOBODY = 65_534;

export interface TestServices {
  databaseUrl: string;
  redisUrl: string;
  /** A folder that is removed with the services. */
  folder: string;
  stop(): Promise<void>;
}

/** Real PostgreSQL (migrated) and Redis on unix sockets in a folder of their own, as an unprivileged user. */
export async function startServices(): Promise<TestServices> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'gt-svc-'));
  await chmod(folder, 0o711);
  const run = path.join(folder, 'run');
  const data = path.join(folder, 'pg');
  for (const dir of [run, data]) {
    await mkdir(dir, { mode: 0o755 });
    await chown(dir, NOBODY, NOBODY);
  }
  const children: ChildProcess[] = [];
  const start = (args: string[]) => {
    const nobody = [
      '--reuid',
      String(NOBODY),
      '--regid',
      String(NOBODY),
      '--clear-groups',
      '--pdeathsig',
      'INT',
      '--',
    ];
    const child = spawn('setpriv', [...nobody, ...args], { stdio: 'ignore', cwd: '/' });
    children.push(child);
    return child;
  };
  const bin = await postgresBin();
  const initdb = ['-D', data, '-U', 'gantry', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
  await systemExec.run('setpriv', [
    '--reuid',
    String(NOBODY),
    '--regid',
    String(NOBODY),
    '--clear-groups',
    '--',
    `${bin}/initdb`,
    ...initdb,
  ]);
  start([`${bin}/postgres`, '-D', data, '-k', run, '-c', 'listen_addresses=', '-c', 'fsync=off']);
  const redis = path.join(run, 'redis.sock');
  start([
    'bash',
    '-c',
    'exec -a redis-server redis-check-rdb "$@"',
    'redis',
    '--port',
    '0',
    '--unixsocket',
    redis,
    '--save',
    '',
    '--dir',
    run,
  ]);
  await Promise.all([listening(path.join(run, '.s.PGSQL.5432')), listening(redis)]);
  await migrate(run);
  return {
    databaseUrl: `postgresql://gantry@localhost/gantry?host=${run}`,
    redisUrl: redis,
    folder,
    async stop() {
      await Promise.all(children.map(end));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function postgresBin(): Promise<string> {
  const versions = await readdir('/usr/lib/postgresql');
  return `/usr/lib/postgresql/${versions.sort((a, b) => Number(b) - Number(a))[0]}/bin`;
}

async function migrate(run: string): Promise<void> {
  const admin = await connect(run);
  await admin.query('CREATE DATABASE gantry');
  await admin.end();
  const client = new pg.Client({ host: run, user: 'gantry', database: 'gantry' });
  await client.connect();
  const folder = path.join(import.meta.dirname, '../../prisma/migrations');
  const names = (await readdir(folder, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  for (const name of names.sort())
    await client.query(await readFile(path.join(folder, name, 'migration.sql'), 'utf8'));
  await client.end();
}

/** A server whose socket listens may still be starting up (57P03): a new client tries until it is not. */
async function connect(run: string): Promise<pg.Client> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const client = new pg.Client({ host: run, user: 'gantry', database: 'postgres' });
    try {
      await client.connect();
      return client;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/** Waits for a unix socket to take connections, by trying. */
export async function listening(socket: string, limitMs = 15_000): Promise<void> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const ok = await new Promise<boolean>((resolve) => {
      const connection = net.connect(socket, () => resolve(true)).on('error', () => resolve(false));
      connection.on('connect', () => connection.destroy());
    });
    if (ok) return;
    if (Date.now() > deadline) throw new Error(`nothing listens on ${socket}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGINT');
  await closed;
}
