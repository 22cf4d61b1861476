import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { PlatformError } from '#libs/errors';
import type { Clock, Exec } from '#libs/host';
import type { Logger } from '#libs/log';
import { LogFile } from './log-file.ts';
import { forgetProcess, noteProcess } from './process-identity.ts';

export interface ChildCommand {
  file: string;
  args: readonly string[];
  env: Record<string, string>;
  /** Open files that the child gets as descriptors 4, 5, …; 3 is its IPC channel. */
  inheritedFds?: readonly number[];
  uid?: number;
  gid?: number;
}

/** What the supervisor knows of a process: how to start it, how to tell that it serves, how to end it. */
export interface ChildSpec {
  /** Also the name of its log and pid file. */
  name: string;
  command: () => ChildCommand | Promise<ChildCommand>;
  /** `message`: it sends `ready` over its IPC channel. Else resolves once it serves; aborted when it ended before. */
  ready: 'message' | ((signal: AbortSignal) => Promise<void>);
  readyTimeoutMs: number;
  stopSignal: NodeJS.Signals;
  /** SIGKILL after this long. */
  stopTimeoutMs: number;
  /** When the kernel tells it that the supervisor died (PR_SET_PDEATHSIG). */
  orphanSignal: 'INT' | 'TERM';
  /** How often the first start may fail before it is given up. */
  firstAttempts: number;
}

export type ChildState = 'stopped' | 'starting' | 'up' | 'backoff' | 'stopping';

export interface ChildStatus {
  name: string;
  state: ChildState;
  pid: number | null;
  restarts: number;
  /** Since its last start. */
  uptimeMs: number;
  /** Why it ended the last time. */
  lastEnd: string | null;
}

export interface ChildSurroundings {
  exec: Exec;
  clock: Clock;
  log: Logger;
  /** Says what the operator should see at once. */
  note: (text: string) => void;
  logsDir: string;
  pidsDir: string;
}

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 10_000;
/** Having run this long, the next crash is a first one again. */
const STABLE_MS = 60_000;
const LAST_OUTPUT_MS = 200;

/** A process that is kept running: started again, with a growing pause, whenever it ends by itself. */
export class Child {
  readonly #spec: ChildSpec;
  readonly #around: ChildSurroundings;
  readonly #stopped = new AbortController();
  readonly #logFile: LogFile;
  #state: ChildState = 'stopped';
  #process: ChildProcess | undefined;
  #startedAtMs = 0;
  #starts = 0;
  #lastEnd: string | null = null;
  #running: Promise<void> | undefined;

  constructor(spec: ChildSpec, around: ChildSurroundings) {
    this.#spec = spec;
    this.#around = around;
    this.#logFile = new LogFile(`${around.logsDir}/${spec.name}.log`);
  }

  status(): ChildStatus {
    const alive = this.#process !== undefined;
    return {
      name: this.#spec.name,
      state: this.#state,
      pid: this.#process?.pid ?? null,
      restarts: Math.max(0, this.#starts - 1),
      uptimeMs: alive ? this.#around.clock.now() - this.#startedAtMs : 0,
      lastEnd: this.#lastEnd,
    };
  }

  /** Starts it and keeps it running. Resolves when it serves; throws `unavailable` when the first attempts failed. */
  start(): Promise<void> {
    if (this.#stopped.signal.aborted) return Promise.reject(cancelled(this.#spec.name));
    const first = Promise.withResolvers<void>();
    this.#running = this.#keepRunning(first).catch(first.reject);
    return first.promise;
  }

  /** Ends it for good. Never throws; returns when the process is gone. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    const child = this.#process;
    if (child && child.exitCode === null && child.signalCode === null) {
      this.#state = 'stopping';
      child.kill(this.#spec.stopSignal);
      const force = setTimeout(() => child.kill('SIGKILL'), this.#spec.stopTimeoutMs);
      await this.#running;
      clearTimeout(force);
    }
    await this.#running;
    this.#state = 'stopped';
    this.#logFile.close();
  }

  /** Ends it at once, without giving it the chance to finish anything. */
  kill(): void {
    this.#stopped.abort();
    this.#process?.kill('SIGKILL');
  }

  async #keepRunning(first: PromiseWithResolvers<void>): Promise<void> {
    const { clock, log, note } = this.#around;
    const stop = this.#stopped.signal;
    let failures = 0;
    let served = false;
    while (!stop.aborted) {
      const problem = await this.#runOnce(() => {
        served = true;
        first.resolve();
      });
      if (stop.aborted) break;
      this.#lastEnd = problem.message;
      failures = clock.now() - this.#startedAtMs > STABLE_MS ? 1 : failures + 1;
      if (!served && failures >= this.#spec.firstAttempts) {
        this.#state = 'stopped';
        throw problem;
      }
      const pauseMs = Math.min(FIRST_BACKOFF_MS * 2 ** (failures - 1), MAX_BACKOFF_MS);
      log.warn({ child: this.#spec.name, pauseMs, reason: problem.message }, 'ended, starting it again');
      note(`  ! ${problem.message.split(', saying')[0]}; starting it again in ${pauseMs / 1000} s`);
      this.#state = 'backoff';
      await clock.sleep(pauseMs, stop).catch(() => {});
    }
    this.#state = 'stopped';
    throw cancelled(this.#spec.name); // reaches whoever still waits for the first start, nobody else
  }

  /** One life of the process. Returns, when it is over, how it ended. */
  async #runOnce(onReady: () => void): Promise<PlatformError> {
    const { name } = this.#spec;
    const over = new AbortController();
    try {
      this.#state = 'starting';
      this.#startedAtMs = this.#around.clock.now();
      this.#starts += 1;
      this.#logFile.mark();
      const child = this.#spawn(await this.#spec.command());
      this.#process = child;
      const ended = waitForEnd(child);
      if (this.#stopped.signal.aborted) child.kill('SIGKILL');
      if (child.pid !== undefined) await noteProcess(this.#around.pidsDir, name, child.pid);
      let given: string | undefined;
      void this.#watchReady(child, over.signal, onReady, (why) => {
        given = why;
        child.kill('SIGKILL');
      });
      const how = await ended;
      return this.#problem(given ?? `ended (${how})`);
    } catch (cause) {
      return new PlatformError('internal', `cannot start ${name}: ${String(cause)}`, { cause });
    } finally {
      over.abort();
      this.#process = undefined;
      await forgetProcess(this.#around.pidsDir, name);
    }
  }

  #spawn(command: ChildCommand): ChildProcess {
    const ids =
      command.uid === undefined ? [] : ['--reuid', String(command.uid), '--regid', String(command.gid)];
    const drop = ids.length > 0 ? [...ids, '--clear-groups'] : [];
    // The kernel's own signal reaches it even when the supervisor was killed and the child does not look at its channel.
    const args = [...drop, `--pdeathsig=${this.#spec.orphanSignal}`, '--', command.file, ...command.args];
    const child = this.#around.exec.spawn('setpriv', args, {
      cwd: '/',
      env: command.env,
      // a session of its own: Ctrl-C in the terminal must reach the supervisor only, which then stops all in order
      detached: true,
      stdio: [
        'ignore',
        'pipe',
        'pipe',
        this.#spec.ready === 'message' ? 'ipc' : 'ignore',
        ...(command.inheritedFds ?? []),
      ],
    });
    child.stdout?.on('data', (chunk: Buffer) => this.#logFile.write(chunk));
    child.stderr?.on('data', (chunk: Buffer) => this.#logFile.write(chunk));
    return child;
  }

  async #watchReady(
    child: ChildProcess,
    over: AbortSignal,
    onReady: () => void,
    giveUp: (why: string) => void,
  ): Promise<void> {
    const { readyTimeoutMs, ready } = this.#spec;
    const late = setTimeout(
      () => giveUp(`was not ready within ${readyTimeoutMs / 1000} s and was killed`),
      readyTimeoutMs,
    );
    try {
      if (ready === 'message') await readyMessage(child, over);
      else await ready(over);
      if (over.aborted || this.#stopped.signal.aborted) return;
      this.#state = 'up';
      onReady();
    } catch (error) {
      if (over.aborted) return;
      this.#around.log.error({ child: this.#spec.name, err: error }, 'cannot tell whether it is ready');
      giveUp('was killed, since nothing can tell whether it is ready');
    } finally {
      clearTimeout(late);
    }
  }

  #problem(what: string): PlatformError {
    const lines = this.#logFile.lastLines(8);
    const said = lines.length > 0 ? `, saying:\n${lines.map((line) => `  ${line}`).join('\n')}` : '';
    return new PlatformError('unavailable', `${this.#spec.name} ${what}${said}`, {
      hint: `The whole log is ${this.#logFile.file}`,
    });
  }
}

/**
 * How the process ended, in words. Its last output is waited for, but not long: processes that it left may keep the
 * pipes open.
 */
function waitForEnd(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => {
      const how = signal ? `killed by ${signal}` : `exit code ${code}`;
      const late = setTimeout(() => resolve(how), LAST_OUTPUT_MS);
      child.once('close', () => {
        clearTimeout(late);
        resolve(how);
      });
    });
  });
}

async function readyMessage(child: ChildProcess, signal: AbortSignal): Promise<void> {
  for (;;) {
    const [message] = await once(child, 'message', { signal });
    if (message === 'ready') return;
  }
}

function cancelled(name: string): PlatformError {
  return new PlatformError('cancelled', `${name} was told to stop`);
}
