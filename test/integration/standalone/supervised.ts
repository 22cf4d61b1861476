import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { type RunResult, systemExec } from '#libs/host';
import { identify } from '../../../apps/standalone/src/process-identity.ts';
import { StatusReport } from '../../../apps/standalone/src/status-report.ts';
import { freePort, temporaryFolder } from '../../platform.ts';

const MAIN = path.join(import.meta.dirname, 'parts/main.ts');
const NODE_OPTIONS = [
  '--experimental-transform-types',
  '--conditions=source',
  '--disable-warning=ExperimentalWarning',
];

/** A platform with real PostgreSQL and Redis and stand-ins for the rest, driven by the verbs of apps/standalone. */
export class Supervised {
  private constructor(
    readonly dataDir: string,
    readonly httpPort: number,
    readonly apiPort: number,
  ) {}

  static async create(): Promise<Supervised> {
    return new Supervised(await temporaryFolder('gt-sv-'), await freePort(), await freePort());
  }

  /** Runs a verb to its end. */
  verb(
    verb: 'up' | 'down' | 'status',
    args: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<RunResult> {
    return systemExec.tryRun(process.execPath, this.#commandLine(verb, args), {
      env: { ...process.env, ...env },
      timeoutMs: 60_000,
    });
  }

  /** The same as a user who is not root. */
  asNobody(verb: 'up' | 'down'): Promise<RunResult> {
    const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--', process.execPath];
    return systemExec.tryRun('setpriv', [...nobody, ...this.#commandLine(verb, [])], { timeoutMs: 60_000 });
  }

  async up(): Promise<StatusReport> {
    const result = await this.verb('up', ['--detach']);
    if (result.code !== 0) throw new Error(`up ended with ${result.code}:\n${result.stdout}${result.stderr}`);
    return this.status();
  }

  /** `up` in the foreground, as in a terminal. */
  foreground() {
    return spawn(process.execPath, this.#commandLine('up', []), { stdio: ['ignore', 'pipe', 'inherit'] });
  }

  async status(): Promise<StatusReport> {
    return StatusReport.parse(JSON.parse((await this.verb('status', ['--json'])).stdout));
  }

  async pidOf(name: string): Promise<number> {
    const child = (await this.status()).children.find((one) => one.name === name);
    if (!child?.pid) throw new Error(`${name} does not run`);
    return child.pid;
  }

  /** Ends a part with SIGKILL and waits until its successor is up. */
  async kill(name: string): Promise<void> {
    const before = await this.pidOf(name);
    process.kill(before, 'SIGKILL');
    await until(async () => {
      const now = (await this.status()).children.find((one) => one.name === name);
      return now?.state === 'up' && now.pid !== before;
    });
  }

  get databaseUrl(): string {
    return `postgresql://gantry@localhost/gantry?host=${encodeURIComponent(path.join(this.dataDir, 'run/postgres'))}`;
  }

  async query(sql: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client(this.databaseUrl);
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  }

  /** Talks to Redis with its own client. */
  async redis(...command: string[]): Promise<string> {
    const { stdout } = await systemExec.run('redis-cli', [
      '-s',
      path.join(this.dataDir, 'run/redis/redis.sock'),
      ...command,
    ]);
    return stdout.trim();
  }

  /** The pid of the router that answers on the apps' port. */
  async askRouter(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.httpPort}/`)).text();
  }

  async instancePid(): Promise<number> {
    return Number(await readFile(path.join(this.dataDir, 'agent/instance.pid'), 'utf8'));
  }

  /** Every process that works in the data folder or was told of it. */
  async processes(): Promise<string[]> {
    const found: string[] = [];
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      const folder = await readlink(`/proc/${pid}/cwd`).catch(() => '');
      if (commandLine.includes(this.dataDir) || folder.startsWith(this.dataDir))
        found.push(`${pid} ${commandLine}`);
    }
    return found;
  }

  #commandLine(verb: string, args: readonly string[]): string[] {
    const ports = ['--http-port', String(this.httpPort), '--api-port', String(this.apiPort)];
    return [...NODE_OPTIONS, MAIN, verb, '--data', this.dataDir, ...ports, ...args];
  }
}

export async function until(condition: () => Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** False for a zombie too: who reaps what a killed platform left is not ours to say. */
export async function isRunning(pid: number): Promise<boolean> {
  return (await identify(pid)) !== undefined;
}

export async function exitOf(child: ReturnType<typeof spawn>): Promise<number | null> {
  if (child.exitCode !== null) return child.exitCode;
  const [code] = await once(child, 'exit');
  return code;
}
