import { errorMessage, PlatformError } from '#libs/errors';
import type { Clock, Exec } from '#libs/host';
import type { Logger } from '#libs/log';
import { Child, type ChildSpec } from './child.ts';
import { prepareCompileCache } from './compile-cache.ts';
import type { StandaloneConfig } from './config.ts';
import type { Installation } from './installation.ts';
import type { Layout } from './layout.ts';
import type { ListeningSocket } from './listening-socket.ts';
import { migrate } from './migrate.ts';
import type { StandaloneOptions } from './options.ts';
import { checkDatabase, Postgres } from './postgres.ts';
import {
  addressesOf,
  agentSpec,
  controlPlaneSpec,
  type PartsContext,
  type Programs,
  routerSpec,
} from './programs.ts';
import type { Progress } from './progress.ts';
import { Redis } from './redis.ts';
import type { StatusReport } from './status-report.ts';
import { runTeardown } from './teardown.ts';

export interface PlatformDependencies {
  layout: Layout;
  options: StandaloneOptions;
  config: StandaloneConfig;
  installation: Installation;
  programs: Programs;
  /** Where apps are served; handed to each router in turn, closed by `stop`. */
  listeningSocket: ListeningSocket;
  exec: Exec;
  clock: Clock;
  log: Logger;
  progress: Progress;
}

/** All parts of one platform: started in the order of their needs, kept running, stopped the other way round. */
export class Platform {
  readonly #deps: PlatformDependencies;
  readonly #children = new Map<string, Child>();
  readonly #startedAtMs: number;
  #state: StatusReport['state'] = 'starting';
  #agentWasStarted = false;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(deps: PlatformDependencies) {
    this.#deps = deps;
    this.#startedAtMs = deps.clock.now();
  }

  /** Resolves when everything serves. Throws what kept the first part from starting; `stop` must follow then too. */
  start(): Promise<void> {
    this.#starting = this.#start();
    return this.#starting;
  }

  async #start(): Promise<void> {
    const { progress } = this.#deps;
    const [databaseUrl, redisUrl] = await Promise.all([this.#startPostgres(), this.#startRedis()]);
    const compileCache = await prepareCompileCache(
      this.#deps.layout.compileCacheDir,
      this.#deps.programs.controlPlane,
    );
    const context: PartsContext = {
      ...this.#deps,
      databaseUrl,
      redisUrl,
      listenFd: this.#deps.listeningSocket.fd,
      compileCache,
    };
    // The router serves from its snapshot and the agent finds its instances without the control plane, so neither waits.
    this.#agentWasStarted = true;
    await Promise.all([
      progress.step('control plane', () => this.#startChild(controlPlaneSpec(context))),
      progress.step('router', () => this.#startChild(routerSpec(context))),
      progress.step('agent', () => this.#startChild(agentSpec(context))),
    ]);
    if (this.#state === 'starting') this.#state = 'ready';
  }

  /** Ends everything in order; instances too once the agent was started. Says what failed, and goes on. Repeatable. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Ends all children at once. Instances stay; the next `up` or `down` finds them. */
  kill(): void {
    for (const child of this.#children.values()) child.kill();
  }

  report(): StatusReport {
    const { layout, options, clock, progress } = this.#deps;
    const addresses = addressesOf(options);
    const children = [...this.#children.values()].map((child) => child.status());
    const isWhole = children.every((child) => child.state === 'up');
    return {
      state: this.#state === 'ready' && !isWhole ? 'degraded' : this.#state,
      pid: process.pid,
      dataDir: layout.dataDir,
      url: addresses.publicApiUrl,
      appsUrl: addresses.appsUrl,
      domain: options.domain,
      httpPort: options.httpPort,
      uptimeMs: clock.now() - this.#startedAtMs,
      children,
      timingsMs: progress.timingsMs,
    };
  }

  async #startPostgres(): Promise<string> {
    const { config, progress, programs, installation } = this.#deps;
    if (config.databaseUrl) {
      const url = config.databaseUrl;
      await progress.step('PostgreSQL of DATABASE_URL', () => checkDatabase(url));
      await progress.step('migrations', () => migrate(url, programs.migrations));
      return url;
    }
    const postgres = new Postgres({ ...this.#deps, installationId: installation.id });
    await progress.step('PostgreSQL', async () => {
      await postgres.prepare();
      await this.#startChild(postgres.spec());
      await postgres.ensureDatabase();
    });
    await progress.step('migrations', () => migrate(postgres.url(), programs.migrations));
    return postgres.url();
  }

  async #startRedis(): Promise<string> {
    const { config, progress } = this.#deps;
    if (config.redisUrl) return config.redisUrl;
    const redis = new Redis(this.#deps);
    await progress.step('Redis', async () => {
      await redis.prepare();
      await this.#startChild(redis.spec());
    });
    return redis.url();
  }

  async #startChild(spec: ChildSpec): Promise<void> {
    if (this.#stopping)
      throw new PlatformError('cancelled', `${spec.name} is not started: the platform stops`);
    const { exec, clock, log, layout, progress } = this.#deps;
    const note = (text: string) => progress.note(text);
    const child = new Child(spec, {
      exec,
      clock,
      log,
      note,
      logsDir: layout.logsDir,
      pidsDir: layout.pidsDir,
    });
    this.#children.set(spec.name, child);
    await child.start();
  }

  async #stop(): Promise<void> {
    this.#state = 'stopping';
    // New connections are refused from now on; those that the router has are served to their end.
    this.#deps.listeningSocket.close();
    await this.#stopChild('router', 'router drained');
    await this.#stopChild('control-plane', 'control plane stopped');
    await this.#stopChild('agent', 'agent stopped');
    if (this.#agentWasStarted) await this.#attempt('instances stopped', () => runTeardown(this.#deps));
    await this.#stopChild('redis', 'Redis stopped');
    await this.#stopChild('postgres', 'PostgreSQL stopped');
    await this.#starting?.catch(() => {}); // what is no child, as initdb, ends by itself; nothing is started after it
  }

  async #stopChild(name: string, step: string): Promise<void> {
    const child = this.#children.get(name);
    if (child) await this.#attempt(step, () => child.stop());
  }

  async #attempt(step: string, work: () => Promise<void>): Promise<void> {
    try {
      await this.#deps.progress.step(step, work);
    } catch (error) {
      this.#deps.log.error({ err: error }, step);
      this.#deps.progress.note(`  ✗ ${step}: ${errorMessage(error)}`);
    }
  }
}
