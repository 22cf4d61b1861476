#!/usr/bin/env node
// Stands in for Prisma's native schema engine: answers the same arguments and the same JSON-RPC over stdio, by the
// WebAssembly build of that engine and the pg adapter. Developers' commands only (generate, migrate dev, diff, status,
// deploy); the platform itself applies migrations with apps/standalone/src/migrate.ts.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { parseArgs } from 'node:util';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import pg from 'pg';

const require = createRequire(import.meta.url);
const CONNECT_TIMEOUT_MS = 5_000;
const CHAR_OID = 18; // "char" of the catalogs, which the adapter does not know
const TEXT_OID = 25;
const RPC_ENGINE_ERROR = 4466; // the code under which the CLI looks for error_code and meta

const { values, positionals } = parseArgs({
  strict: false,
  allowPositionals: true,
  options: {
    version: { type: 'boolean' },
    datasource: { type: 'string' },
    datamodels: { type: 'string', multiple: true, short: 'd' },
    'enabled-preview-features': { type: 'string' },
    'extension-types': { type: 'string' },
  },
});
const databaseUrl = values.datasource ? JSON.parse(values.datasource).url || undefined : undefined;

/** Presents the catalogs' "char" columns as text. */
class CatalogClient extends pg.Client {
  query(...args) {
    const done = args.at(-1);
    if (typeof done === 'function')
      args[args.length - 1] = (error, result) => done(error, charsAsText(result));
    const answer = super.query(...args);
    return typeof answer?.then === 'function' ? answer.then(charsAsText) : answer;
  }
}

function charsAsText(result) {
  for (const field of result?.fields ?? []) if (field.dataTypeID === CHAR_OID) field.dataTypeID = TEXT_OID;
  return result;
}

if (values.version) console.log(`schema-engine-cli ${require('@prisma/engines-version').enginesVersion}`);
else if (positionals[0] === 'cli') process.exitCode = await runCommand(positionals[1], new URL(databaseUrl));
else serve(await openEngine(databaseUrl, values.datamodels ?? []));

/** `cli can-connect-to-database | create-database | drop-database`. The exit code is the answer, stderr the reason. */
async function runCommand(command, url) {
  const name = decodeURIComponent(url.pathname.slice(1)) || 'postgres';
  const maintenance = new URL(url);
  maintenance.pathname = '/postgres';
  const statements = {
    'can-connect-to-database': [url, 'SELECT 1'],
    'create-database': [maintenance, `CREATE DATABASE ${pg.escapeIdentifier(name)}`],
    'drop-database': [maintenance, `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`],
  };
  logLine('INFO', { message: command }); // the CLI drops the first line
  try {
    const [target, sql] = statements[command];
    await withClient(
      { connectionString: String(target), connectionTimeoutMillis: CONNECT_TIMEOUT_MS },
      (client) => client.query(sql),
    );
    return 0;
  } catch (error) {
    const codes = { '3D000': 'P1003', '28P01': 'P1000', 28000: 'P1000', '42P04': 'P1009' };
    const code = codes[error.code] ?? 'P1001';
    const server = url.searchParams.get('host') ?? url.host;
    const message =
      code === 'P1003'
        ? `Database \`${name}\` does not exist`
        : `Can't use the database server at \`${server}\`: ${error.message}`;
    logLine('ERROR', { message, error_code: code });
    return 1;
  }
}

/** The WebAssembly engine on the given datamodel files. Connects only when a method needs the database. */
async function openEngine(url, datamodelFiles) {
  const bindings = await import('@prisma/schema-engine-wasm/schema_engine_bg');
  const folder = path.dirname(require.resolve('@prisma/schema-engine-wasm'));
  const wasm = readFileSync(path.join(folder, 'schema_engine_bg.wasm'));
  const { instance } = await WebAssembly.instantiate(wasm, { './schema_engine_bg.js': bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  // the engine reports its panics here
  globalThis.PRISMA_WASM_PANIC_REGISTRY = {
    message: '',
    set_message(message) {
      this.message = message;
    },
    get() {
      return this.message;
    },
  };
  const datamodels = datamodelFiles.map((file) => [file, readFileSync(file, 'utf8')]);
  const onLog = (line) => {
    const entry = typeof line === 'string' ? JSON.parse(line) : line;
    if (entry.level === 'ERROR') process.stderr.write(`${JSON.stringify(entry)}\n`);
  };
  const options = { datamodels: datamodels.length > 0 ? datamodels : undefined };
  return bindings.SchemaEngine.new(
    options,
    onLog,
    bindMigrationAwareSqlAdapterFactory(url ? adapterFactory(url) : offlineFactory()),
  );
}

/** For `generate` and diffs between files: the engine asks for the server's version at start and must get an answer. */
function offlineFactory() {
  const refuse = async () => {
    throw new Error('this command needs a database: set DATABASE_URL');
  };
  const adapter = {
    provider: 'postgres',
    adapterName: 'offline',
    getConnectionInfo: () => ({ schemaName: 'public', supportsRelationJoins: true }),
    queryRaw: async () => ({ columnNames: [], columnTypes: [], rows: [] }),
    executeRaw: async () => 0,
    executeScript: refuse,
    startTransaction: refuse,
    dispose: async () => {},
  };
  return {
    provider: 'postgres',
    adapterName: 'offline',
    connect: async () => adapter,
    connectToShadowDb: refuse,
  };
}

function adapterFactory(url) {
  const address = new URL(url);
  const schema = address.searchParams.get('schema') ?? undefined;
  address.searchParams.delete('schema');
  // Single fields, not a connection string: one would win over the name of the shadow database below.
  const { host, port, user, password, database, ssl } = new pg.Client({ connectionString: String(address) });
  const config = { host, port, user, password, database, ssl, max: 4, Client: CatalogClient };
  const factory = new PrismaPg(config, { schema });
  // The adapter's own drops the shadow database while it is still connected to it.
  factory.connectToShadowDb = async () => {
    const name = `prisma_migrate_shadow_db_${randomUUID()}`;
    await withClient(config, (client) => client.query(`CREATE DATABASE "${name}" TEMPLATE template0`));
    const adapter = await new PrismaPg({ ...config, database: name }, { schema }).connect();
    const close = adapter.dispose.bind(adapter);
    adapter.dispose = async () => {
      await close();
      await withClient(config, (client) => client.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`));
    };
    return adapter;
  };
  return factory;
}

/** JSON-RPC 2.0, one message a line, answered in order; ends with standard input. */
function serve(engine) {
  let last = Promise.resolve();
  const input = readline.createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  input.on('line', (line) => {
    last = last.then(() => answer(engine, JSON.parse(line)));
  });
  input.on('close', () => last.then(() => process.exit(0)));
}

async function answer(engine, { id, method, params }) {
  if (!method) return; // the CLI's acknowledgement of our `print`
  const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...message })}\n`);
  try {
    const result = await call(engine, method, params);
    if (method === 'diff' && result?.stdout)
      send({ id: `print-${id}`, method: 'print', params: { content: result.stdout } });
    send({ result: result ?? {} });
  } catch (error) {
    const data = {
      is_panic: false,
      message: error?.message ?? String(error),
      error_code: error?.code ?? error?.error_code,
      meta: error?.meta,
    };
    send({
      error: {
        code: RPC_ENGINE_ERROR,
        message: 'An error happened. Check the data field for details.',
        data,
      },
    });
  }
}

async function call(engine, method, params) {
  if (method === 'createDatabase') return { databaseName: '' };
  const name = method === 'getDatabaseVersion' ? 'version' : method;
  if (typeof engine[name] !== 'function')
    throw new Error(`the WebAssembly schema engine has no method ${method}`);
  const result = await engine[name](params);
  return method === 'diff' ? { ...result, stdout: result?.stdout ?? null } : result;
}

async function withClient(config, use) {
  const client = new pg.Client(config);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

function logLine(level, fields) {
  const timestamp = new Date().toISOString();
  process.stderr.write(`${JSON.stringify({ timestamp, level, fields, target: 'schema_engine::logger' })}\n`);
}
