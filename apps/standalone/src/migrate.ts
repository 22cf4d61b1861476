import { createHash, randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { errorMessage, isSystemError, PlatformError } from '#libs/errors';
import { readFileIfExists } from '#libs/host';

/** The advisory lock that Prisma Migrate takes too, so that the two exclude each other. */
const LOCK = 72_707_369;

/** Prisma's own table: `prisma migrate status` and `deploy` agree with what is done here. */
const TABLE = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ,
  migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)`;

interface Migration {
  name: string;
  sql: string;
  checksum: string;
}

/**
 * Brings a database up to date: applies each migration of `folder` (`<name>/migration.sql`, in order of names) that it
 * does not have yet, each in a transaction of its own. A script that starts a line with `-- no-transaction` runs
 * outside of one. Callers at the same time take turns.
 *
 * Returns the names of those applied. Throws `conflict` when the database does not fit the folder: a migration was
 * edited after it was applied, was left half-applied, or comes from a newer version; `internal` when one fails.
 */
export async function migrate(databaseUrl: string, folder: string): Promise<string[]> {
  const migrations = await readMigrations(folder);
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on('error', () => {}); // a connection that breaks fails the query that runs on it
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    await client.query(TABLE);
    const missing = await findMissing(client, migrations);
    for (const migration of missing) await apply(client, migration);
    return missing.map((migration) => migration.name);
  } finally {
    await client.end(); // gives the lock back
  }
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const migrations: Migration[] = [];
  for (const name of (await listFolder(folder)).sort()) {
    const sql = await readFileIfExists(path.join(folder, name, 'migration.sql')).catch((error: unknown) => {
      if (isSystemError(error, 'ENOTDIR')) return undefined; // migration_lock.toml
      throw error;
    });
    if (sql === undefined) continue;
    migrations.push({ name, sql, checksum: createHash('sha256').update(sql).digest('hex') });
  }
  return migrations;
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    throw new PlatformError('internal', `cannot read the migrations in ${folder}: ${errorMessage(cause)}`, {
      cause,
    });
  }
}

async function findMissing(client: pg.Client, migrations: Migration[]): Promise<Migration[]> {
  const { rows } = await client.query<{ migration_name: string; checksum: string; finished_at: Date | null }>(
    'SELECT migration_name, checksum, finished_at FROM _prisma_migrations WHERE rolled_back_at IS NULL',
  );
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const row of rows) {
    const migration = known.get(row.migration_name);
    if (!migration)
      throw misfit(row.migration_name, 'is in the database but not in this version of Gantry', NEWER);
    if (!row.finished_at) throw misfit(row.migration_name, 'was left half-applied', RESOLVE);
    if (row.checksum !== migration.checksum)
      throw misfit(row.migration_name, 'was edited after it was applied', RESTORE);
  }
  const applied = new Set(rows.map((row) => row.migration_name));
  return migrations.filter((migration) => !applied.has(migration.name));
}

const NEWER = 'A newer Gantry has used this data folder: run that version, or restore a backup from before.';
const RESOLVE = 'Repair the database, then mark it with `prisma migrate resolve`.';
const RESTORE = 'Put the file back as it was, and make the change in a new migration.';

function misfit(name: string, problem: string, hint: string): PlatformError {
  return new PlatformError('conflict', `cannot migrate the database: migration ${name} ${problem}`, { hint });
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  // CREATE INDEX CONCURRENTLY and a few others refuse to run in a transaction.
  const transaction = !/^--\s*no-transaction/m.test(migration.sql);
  const id = randomUUID();
  try {
    if (transaction) await client.query('BEGIN');
    await client.query(
      'INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at) VALUES ($1, $2, $3, clock_timestamp())',
      [id, migration.checksum, migration.name],
    );
    await client.query(migration.sql);
    await client.query(
      'UPDATE _prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1 WHERE id = $1',
      [id],
    );
    if (transaction) await client.query('COMMIT');
  } catch (cause) {
    if (transaction) await client.query('ROLLBACK').catch(() => {}); // the connection may be what broke
    throw new PlatformError('internal', `migration ${migration.name} failed: ${errorMessage(cause)}`, {
      cause,
      hint: transaction ? 'It changed nothing; the database is as it was before.' : RESOLVE,
    });
  }
}
