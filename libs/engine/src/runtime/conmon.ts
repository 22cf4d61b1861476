import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import type { Exec } from '#libs/host';
import type { Runtime } from './runtime.ts';

const CREATE_TIMEOUT_MS = 60_000;
const MAX_ANSWER_BYTES = 64 << 10;
const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const Answer = z.object({
  pid: z.number().optional(),
  data: z.number().optional(),
  message: z.string().optional(),
});

export interface MonitorRequest {
  /** Name of the container for the runtime, and of its exit file. */
  runtimeId: string;
  folder: string;
  bundle: string;
  exitFolder: string;
  logFile: string;
  logMaxBytes: number;
}

export interface Monitored {
  /** The container's init, stopped before its first instruction. */
  pid: number;
  monitorPid: number;
}

/**
 * conmon holds a container's output and exit code, and outlives the daemon. One process per container: it makes the
 * container through the runtime, appends to the log, and writes the exit code to `exitFolder/<runtimeId>`.
 */
export class Conmon {
  constructor(
    private readonly program: string,
    private readonly runtime: Runtime,
    private readonly exec: Exec,
  ) {}

  /** Makes the container. Throws `invalid_input` when its command cannot be run, else `internal` with the runtime's words. */
  async create(request: MonitorRequest): Promise<Monitored> {
    const pidFile = path.join(request.folder, 'conmon.pid');
    const errors = openSync(path.join(request.folder, 'conmon.log'), 'a', 0o600);
    try {
      const child = this.exec.spawn(this.program, this.#arguments(request, pidFile), {
        cwd: request.folder,
        detached: true,
        stdio: ['ignore', 'ignore', errors, 'pipe'],
        env: { PATH: SEARCH_PATH, _OCI_SYNCPIPE: '3' },
      });
      const started = new Promise<never>((_, reject) => child.once('error', reject));
      const pipe = child.stdio[3] as Readable;
      const answer = await Promise.race([readAnswer(pipe), started]).finally(() => {
        pipe.destroy();
        child.unref();
      });
      const pid = answer.pid ?? answer.data ?? -1;
      if (pid <= 0) throw await this.#failure(request, answer.message ?? '');
      return { pid, monitorPid: Number(await readFile(pidFile, 'utf8')) };
    } finally {
      closeSync(errors);
    }
  }

  #arguments(request: MonitorRequest, pidFile: string): string[] {
    const { runtimeId, folder, bundle, exitFolder, logFile, logMaxBytes } = request;
    return [
      ...['--api-version', '1', '--cid', runtimeId, '--cuuid', runtimeId, '--name', runtimeId],
      ...['--runtime', this.runtime.program, '--runtime-arg', `--root=${this.runtime.stateFolder}`],
      ...['--bundle', bundle, '--persist-dir', folder, '--exit-dir', exitFolder],
      ...['--container-pidfile', path.join(folder, 'pid'), '--conmon-pidfile', pidFile],
      ...['--log-path', `k8s-file:${logFile}`, '--log-size-max', String(logMaxBytes), '--log-level', 'error'],
      ...['--full-attach', '--no-new-keyring', '--no-sync-log'],
    ];
  }

  async #failure(request: MonitorRequest, message: string): Promise<PlatformError> {
    const log = await readFile(path.join(request.folder, 'conmon.log'), 'utf8').catch(() => '');
    const said = (message || log).trim().slice(-2000) || 'the monitor ended without a word';
    if (
      /executable file .*not found|no such file or directory|permission denied|is a directory/i.test(said)
    ) {
      const cause = /exec|executable|start(ing)? container process/i.test(said)
        ? 'its command cannot be run'
        : said;
      return new PlatformError(
        'invalid_input',
        `container ${request.runtimeId} not made: ${cause}: ${said}`,
        {
          hint: 'check the command, its path inside the image and its execute permission',
        },
      );
    }
    return new PlatformError('internal', `container ${request.runtimeId} not made: ${said}`);
  }
}

/** The first line that conmon writes to its sync pipe. */
function readAnswer(pipe: Readable): Promise<z.infer<typeof Answer>> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => {
      reject(new PlatformError('timeout', `a container was not made within ${CREATE_TIMEOUT_MS / 1000} s`));
    }, CREATE_TIMEOUT_MS);
    const settle = () => {
      clearTimeout(timer);
      try {
        resolve(Answer.parse(JSON.parse(text.split('\n')[0] || '{}')));
      } catch (cause) {
        reject(
          new PlatformError('internal', `conmon answered ${JSON.stringify(text.slice(0, 200))}`, { cause }),
        );
      }
    };
    pipe.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
      if (text.includes('\n') || text.length > MAX_ANSWER_BYTES) settle();
    });
    pipe.once('end', settle);
    pipe.once('error', reject);
  });
}
