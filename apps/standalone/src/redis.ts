import { access, mkdir, rm, symlink } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { PlatformError } from '#libs/errors';
import type { Clock, Exec } from '#libs/host';
import type { ChildSpec } from './child.ts';
import type { Layout } from './layout.ts';
import { giveTo, ownerOf } from './unix-user.ts';

const PROGRAMS = ['/usr/bin/redis-server', '/usr/bin/redis-check-rdb'];
const RETRY_MS = 10;
const READY_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;

export interface RedisOptions {
  layout: Layout;
  exec: Exec;
  clock: Clock;
}

/**
 * The platform's own Redis, on a unix socket in a folder that its user and root alone can enter.
 *
 * What it acknowledged survives kill -9: a command is written to the append-only file before it is answered
 * (redis.conf, appendonly), and pages that a process has written belong to the kernel, not to the process.
 * `everysec` concerns a power cut only: it may cost the last second of the job queue, which the control plane fills
 * again from PostgreSQL.
 */
export class Redis {
  readonly #options: RedisOptions;

  constructor(options: RedisOptions) {
    this.#options = options;
  }

  url(): string {
    return `unix://${this.#options.layout.redisSocket}`;
  }

  async prepare(): Promise<void> {
    const { layout, exec } = this.#options;
    const user = await ownerOf(exec, layout.redisDir, 'redis');
    for (const folder of [layout.redisDir, layout.redisSocketDir]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await giveTo(user, folder);
    }
  }

  spec(): ChildSpec {
    return {
      name: 'redis',
      command: () => this.#command(),
      ready: (signal) => this.#waitUntilReady(signal),
      readyTimeoutMs: READY_TIMEOUT_MS,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: STOP_TIMEOUT_MS,
      orphanSignal: 'TERM',
      firstAttempts: 3,
    };
  }

  async #command() {
    const { layout, exec } = this.#options;
    const user = await ownerOf(exec, layout.redisDir, 'redis');
    const settings = {
      port: '0',
      unixsocket: layout.redisSocket,
      unixsocketperm: '700',
      dir: layout.redisDir,
      appendonly: 'yes',
      appendfsync: 'everysec',
      save: '',
      'maxmemory-policy': 'noeviction', // BullMQ must not lose jobs
      daemonize: 'no',
      logfile: '',
    };
    return {
      file: await linkProgram(layout),
      args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
      env: { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8' },
      uid: user.uid,
      gid: user.gid,
    };
  }

  async #waitUntilReady(signal: AbortSignal): Promise<void> {
    while (!(await answersPing(this.#options.layout.redisSocket))) {
      await this.#options.clock.sleep(RETRY_MS, signal);
    }
  }
}

/** Debian's redis-tools carries the server's binary under another name; it looks at the name to know what to be. */
async function linkProgram(layout: Layout): Promise<string> {
  for (const program of PROGRAMS) {
    try {
      await access(program);
    } catch {
      continue;
    }
    const link = path.join(layout.runDir, 'redis-server');
    await rm(link, { force: true });
    await symlink(program, link);
    return link;
  }
  throw new PlatformError('not_found', `cannot start Redis: there is none of ${PROGRAMS.join(', ')}`, {
    hint: 'Start the platform with `./gantry up`, which installs it, or run `apt-get install redis-tools`.',
  });
}

/** False while there is no socket yet, or while the data is still being read (`-LOADING`). */
function answersPing(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket, () => connection.write('PING\r\n'));
    connection.setTimeout(1_000, () => connection.destroy());
    connection.once('data', (answer) => {
      resolve(answer.toString().startsWith('+PONG'));
      connection.destroy();
    });
    connection.once('error', () => resolve(false));
    connection.once('close', () => resolve(false));
  });
}
