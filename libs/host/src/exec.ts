import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { PlatformError } from '#libs/errors';

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Written to standard input, which is then closed. */
  input?: string | Uint8Array | Readable;
  /** The process is killed (SIGKILL) and a `timeout` error thrown after this long. */
  timeoutMs?: number;
  /** Kills the process when aborted. */
  signal?: AbortSignal;
  /** Output kept per stream, in bytes; the rest is dropped from the front. 1 MiB unless told. */
  maxOutputBytes?: number;
  uid?: number;
  gid?: number;
}

export interface RunResult {
  /** Exit status; 128 + signal number when a signal ended the process. */
  code: number;
  stdout: string;
  stderr: string;
}

/** Processes as a dependency. Arguments are always a list: nothing passes through a shell. */
export interface Exec {
  /** Runs to the end; throws a PlatformError `internal` on a non-zero exit, with the last lines of stderr. */
  run(file: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Like `run`, but returns the exit code instead of throwing on it. */
  tryRun(file: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts a process and hands it over. */
  spawn(file: string, args: readonly string[], options?: SpawnOptions): ChildProcess;
}

const SIGNAL_NUMBERS: Record<string, number> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGPIPE: 13, SIGTERM: 15 };

class Tail {
  #chunks: Buffer[] = [];
  #size = 0;
  constructor(private readonly limit: number) {}
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    while (this.#size > this.limit && this.#chunks.length > 1)
      this.#size -= this.#chunks.shift()?.length ?? 0;
  }
  toString(): string {
    return Buffer.concat(this.#chunks).subarray(-this.limit).toString('utf8');
  }
}

async function tryRun(file: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { input, timeoutMs, signal, maxOutputBytes = 1 << 20, ...rest } = options;
  signal?.throwIfAborted();
  const child = spawn(file, args, {
    ...rest,
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  const stdout = new Tail(maxOutputBytes);
  const stderr = new Tail(maxOutputBytes);
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  if (child.stdin && input !== undefined) {
    child.stdin.on('error', () => {}); // the process may end before it has read everything
    if (typeof input === 'string' || input instanceof Uint8Array) child.stdin.end(input);
    else input.pipe(child.stdin);
  }
  const kill = () => child.kill('SIGKILL');
  let timedOut = false;
  const timer = timeoutMs
    ? setTimeout(() => {
        timedOut = true;
        kill();
      }, timeoutMs)
    : undefined;
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status, sig) => resolve(status ?? 128 + (SIGNAL_NUMBERS[sig ?? ''] ?? 0)));
    });
    if (timedOut) throw new PlatformError('timeout', `${file} did not end within ${timeoutMs} ms`);
    signal?.throwIfAborted();
    return { code, stdout: stdout.toString(), stderr: stderr.toString() };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', kill);
  }
}

export const systemExec: Exec = {
  tryRun,
  async run(file, args, options) {
    const result = await tryRun(file, args, options);
    if (result.code === 0) return result;
    const said = (result.stderr || result.stdout).trim().split('\n').slice(-5).join('\n');
    throw new PlatformError('internal', `${[file, ...args].join(' ')} ended with ${result.code}: ${said}`, {
      details: { exitCode: result.code },
    });
  },
  spawn: (file, args, options) => spawn(file, args, options ?? {}),
};
