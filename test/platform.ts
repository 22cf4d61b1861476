import { rmSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile } from 'node:fs/promises';
import http from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { type RunResult, systemExec } from '#libs/host';

const GANTRY = path.resolve(import.meta.dirname, '../gantry');
/** The first `up` on a machine builds, and makes the base image. */
const UP_TIMEOUT_MS = 400_000;
const VERB_TIMEOUT_MS = 240_000;

export interface PlatformSettings {
  /** An existing folder, to bring up again what a test has brought down; a new one unless told. */
  dataDir?: string;
  /** Free ports unless told. */
  httpPort?: number;
  apiPort?: number;
  domain?: string;
  /** On top of the environment that the platform gets, e.g. DATABASE_URL. */
  env?: Record<string, string>;
}

export interface CliOptions {
  cwd?: string;
  env?: Record<string, string>;
  input?: string;
}

/** A whole platform, started by `./gantry up --detach` as a user would. */
export interface Platform {
  dataDir: string;
  /** The API. */
  url: string;
  /** The admin's. */
  token: string;
  domain: string;
  httpPort: number;
  apiPort: number;
  dockerSocket: string;
  /** For git and the CLI of somebody who uses this platform: a home and a login file of their own. */
  env: Record<string, string>;
  /** Runs `./gantry …`; never throws on an exit code. Log in first: `cli(['login', '--data', dataDir])`. */
  cli(args: readonly string[], options?: CliOptions): Promise<RunResult>;
  /** One request to an app through the router. */
  request(
    host: string,
    path?: string,
  ): Promise<{ status: number; body: string; headers: http.IncomingHttpHeaders }>;
  /** `gantry down`. The data folder stays until the tests of this process end, so that it can be brought up again. */
  down(): Promise<void>;
}

/** Starts a platform on free ports with a data folder of its own. Throws what `up` said when it did not get ready. */
export async function startPlatform(settings: PlatformSettings = {}): Promise<Platform> {
  const dataDir = settings.dataDir ?? (await temporaryFolder('gt-up-'));
  const [httpPort, apiPort] = [
    settings.httpPort ?? (await freePort()),
    settings.apiPort ?? (await freePort()),
  ];
  const ports = ['--http-port', String(httpPort), '--api-port', String(apiPort)];
  const domain = settings.domain === undefined ? [] : ['--domain', settings.domain];
  await gantry(['up', '--data', dataDir, ...ports, ...domain, '--detach'], settings.env ?? {});
  const admin = JSON.parse(await readFile(path.join(dataDir, 'admin.json'), 'utf8')) as AdminFile;
  const home = await temporaryFolder('gt-home-');
  const configDir = path.join(home, 'gantry');
  await mkdir(configDir, { mode: 0o700 });
  const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: home, GANTRY_CONFIG_DIR: configDir };
  return {
    ...admin,
    dataDir,
    apiPort,
    env,
    cli: (args, options = {}) =>
      systemExec.tryRun(GANTRY, args, {
        cwd: options.cwd ?? home,
        env: { ...env, ...options.env },
        timeoutMs: VERB_TIMEOUT_MS,
        ...(options.input === undefined ? {} : { input: options.input }),
      }),
    request: (host, requestPath = '/') => request(httpPort, host, requestPath),
    down: () => gantry(['down', '--data', dataDir], {}),
  };
}

interface AdminFile {
  url: string;
  token: string;
  domain: string;
  httpPort: number;
  dockerSocket: string;
}

async function gantry(args: readonly string[], env: Record<string, string>): Promise<void> {
  const { code, stdout, stderr } = await systemExec.tryRun(GANTRY, args, {
    cwd: '/',
    env: { ...process.env, ...env },
    timeoutMs: UP_TIMEOUT_MS,
  });
  if (code !== 0) throw new Error(`gantry ${args.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`);
}

const folders: string[] = [];
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder that other users may pass through, as a data folder must be; removed when the tests of this process end. */
export async function temporaryFolder(prefix: string): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), prefix));
  await chmod(folder, 0o711); // mkdtemp makes 0700
  folders.push(folder);
  return folder;
}

/** A port of the loopback that nothing listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function request(
  port: number,
  host: string,
  requestPath: string,
): Promise<{ status: number; body: string; headers: http.IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const call = http.request(
      { host: '127.0.0.1', port, path: requestPath, headers: { host }, agent: false },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body, headers: response.headers }),
        );
        response.on('error', reject);
      },
    );
    call.setTimeout(30_000, () =>
      call.destroy(new Error(`${host}${requestPath} did not answer within 30 s`)),
    );
    call.on('error', reject);
    call.end();
  });
}
