import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { randomText, systemExec } from '#libs/host';
import { migrate } from '../../../apps/standalone/src/migrate.ts';
import { temporaryFolder } from '../../platform.ts';
import { startServices, type TestServices } from '../services.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');

let services: TestServices;
let url: string;
let folder: string;
beforeAll(async () => {
  services = await startServices();
});
afterAll(async () => {
  await services?.stop();
});
beforeEach(async () => {
  const name = `m_${randomText(8)}`;
  await query(services.databaseUrl, `CREATE DATABASE ${name}`);
  const address = new URL(services.databaseUrl);
  address.pathname = `/${name}`;
  url = address.href;
  folder = await temporaryFolder('gt-mig-');
  await add('1_first', 'CREATE TABLE first (n int); CREATE TABLE second (n int);');
});

async function query(databaseUrl: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function add(name: string, sql: string): Promise<void> {
  await mkdir(path.join(folder, name), { recursive: true });
  await writeFile(path.join(folder, name, 'migration.sql'), sql);
}

describe('migrate', () => {
  it('applies what is missing, in order, and nothing twice', async () => {
    await add('2_second', 'ALTER TABLE first ADD COLUMN m int;');
    expect(await migrate(url, folder)).toEqual(['1_first', '2_second']);
    expect(await migrate(url, folder)).toEqual([]);
    await add('3_third', 'DROP TABLE second;');
    expect(await migrate(url, folder)).toEqual(['3_third']);
  });

  it('lets callers at the same time take turns', async () => {
    const applied = await Promise.all([migrate(url, folder), migrate(url, folder), migrate(url, folder)]);
    expect(applied.flat()).toEqual(['1_first']);
  });

  it('undoes a migration that fails, keeps those before it, and can go on once it is right', async () => {
    await add('2_bad', 'CREATE TABLE third (n int); SELECT no_such_function();');
    await expect(migrate(url, folder)).rejects.toThrow(/migration 2_bad failed: .*no_such_function/);
    expect(
      await query(url, `SELECT to_regclass('first')::text AS f, to_regclass('third')::text AS t`),
    ).toEqual([{ f: 'first', t: null }]);
    await add('2_bad', 'CREATE TABLE third (n int);');
    expect(await migrate(url, folder)).toEqual(['2_bad']);
  });

  it('runs a script outside a transaction when it says so', async () => {
    await add('2_index', '-- no-transaction\nCREATE INDEX CONCURRENTLY by_n ON first (n);');
    expect(await migrate(url, folder)).toEqual(['1_first', '2_index']);
  });

  it('refuses a database that does not fit: edited, or from a newer version', async () => {
    await migrate(url, folder);
    await add('1_first', 'CREATE TABLE first (n bigint);');
    await expect(migrate(url, folder)).rejects.toThrow('migration 1_first was edited after it was applied');
    const older = await temporaryFolder('gt-mig-');
    await expect(migrate(url, older)).rejects.toThrow('1_first is in the database but not in this version');
  });

  it('agrees with Prisma about the real migrations, and these with the schema', async () => {
    await migrate(url, path.join(ROOT, 'prisma/migrations'));
    const prisma = (...args: string[]) =>
      systemExec.tryRun(path.join(ROOT, 'node_modules/.bin/prisma'), args, {
        cwd: ROOT,
        env: {
          ...process.env,
          PATH: `${path.join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`,
          DATABASE_URL: url,
        },
        timeoutMs: 60_000,
      });
    expect((await prisma('migrate', 'status')).stdout).toContain('Database schema is up to date');
    const diff = await prisma(
      'migrate',
      'diff',
      '--from-config-datasource',
      '--to-schema',
      'prisma/schema.prisma',
      '--exit-code',
    );
    expect(diff).toMatchObject({ code: 0, stdout: expect.stringContaining('No difference detected') });
  });
});
