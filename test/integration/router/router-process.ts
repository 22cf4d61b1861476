import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../../..');

export interface RouterProcessOptions {
  port: number;
  controlPlaneUrl: string;
  stateFile: string;
  /** A listening socket to hand down. */
  listenFd?: number;
}

/** The router as a process of its own, started as the platform starts it. */
export class RouterProcess {
  output = '';
  readonly child: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;

  constructor(options: RouterProcessOptions) {
    const flags = [
      '--disable-warning=ExperimentalWarning',
      '--experimental-transform-types',
      '--conditions=source',
    ];
    const { listenFd } = options;
    this.child = spawn(process.execPath, [...flags, path.join(ROOT, 'apps/router/src/main.ts')], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...(listenFd === undefined ? [] : [listenFd])],
      env: {
        PATH: process.env.PATH,
        GANTRY_CONTROL_PLANE_URL: options.controlPlaneUrl,
        GANTRY_ROUTER_TOKEN: 'router-secret',
        GANTRY_ROUTER_STATE_FILE: options.stateFile,
        GANTRY_HTTP_HOST: '127.0.0.1',
        GANTRY_HTTP_PORT: String(options.port),
        GANTRY_DOMAIN: 'test',
        ...(listenFd === undefined ? {} : { GANTRY_LISTEN_FD: '4' }),
      },
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (data) => {
        this.output += data;
      });
    }
    this.exited = once(this.child, 'exit').then(([code, signal]) => ({ code, signal }));
  }

  /** Resolves when it says that it serves; throws with its output when it ends instead. */
  async ready(): Promise<this> {
    const said = once(this.child, 'message').then(([message]) => message);
    const first = await Promise.race([said, this.exited]);
    if (first !== 'ready') throw new Error(`the router did not start:\n${this.output}`);
    return this;
  }

  async kill(signal: NodeJS.Signals): Promise<{ code: number | null; signal: string | null }> {
    this.child.kill(signal);
    return await this.exited;
  }
}
