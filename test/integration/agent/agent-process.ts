import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { NODE_TOKEN } from '../../../apps/agent/src/testing/fake-control-plane.ts';

const SOURCE = path.resolve(import.meta.dirname, '../../../apps/agent/src');
const FROM_SOURCE = [
  '--experimental-transform-types',
  '--disable-warning=ExperimentalWarning',
  '--conditions=source',
];

export interface AgentSurroundings {
  dataDir: string;
  installationId: string;
  controlPlaneUrl: string;
  dockerSocket: string;
}

/** The agent as `gantry up` runs it: a process of its own with an IPC channel. */
export class AgentProcess {
  private constructor(readonly child: ChildProcess) {}

  /** Resolves when it says `ready`; rejects with what it printed when it ends instead. */
  static async start(surroundings: AgentSurroundings): Promise<AgentProcess> {
    const child = run('main.ts', surroundings);
    const said = text(child.stderr ?? process.stdin);
    const ended = once(child, 'close').then(async () =>
      Promise.reject(new Error(`the agent ended: ${await said}`)),
    );
    ended.catch(() => {});
    await Promise.race([once(child, 'message'), ended]);
    return new AgentProcess(child);
  }

  /** Sends a signal and waits for the end. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const ended = once(this.child, 'exit');
    this.child.kill(signal);
    await ended;
    return this.child.exitCode;
  }

  /** The parent's end of the channel closes, as when the parent dies. */
  async abandon(): Promise<number | null> {
    const ended = once(this.child, 'exit');
    this.child.disconnect();
    await ended;
    return this.child.exitCode;
  }
}

/** Runs the teardown to its end. */
export async function runTeardown(
  surroundings: AgentSurroundings,
): Promise<{ code: number | null; output: string }> {
  const child = run('teardown.ts', surroundings);
  const streams = Promise.all([text(child.stdout ?? process.stdin), text(child.stderr ?? process.stdin)]);
  await once(child, 'close');
  return { code: child.exitCode, output: (await streams).join('') };
}

function run(entry: string, surroundings: AgentSurroundings): ChildProcess {
  const child = fork(path.join(SOURCE, entry), {
    execArgv: FROM_SOURCE,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      PATH: process.env.PATH,
      GANTRY_CONTROL_PLANE_URL: surroundings.controlPlaneUrl,
      GANTRY_NODE_TOKEN: NODE_TOKEN,
      GANTRY_DATA_DIR: surroundings.dataDir,
      GANTRY_INSTALLATION_ID: surroundings.installationId,
      GANTRY_DOCKER_SOCKET: surroundings.dockerSocket,
      GANTRY_LOG_LEVEL: 'warn',
    },
  });
  if (entry === 'main.ts') child.stdout?.pipe(process.stdout, { end: false });
  return child;
}
