import type { ChildProcess } from 'node:child_process';
import type { ServerResponse } from 'node:http';
import type { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { PlatformError } from '#libs/errors';
import { systemClock, systemExec } from '#libs/host';
import type { Logger } from '#libs/log';
import { LOGGER } from '../tokens.ts';
import { gitCommand } from './git-environment.ts';

/** A git process gets this long to clean up after SIGTERM (its quarantine, its locks). */
const KILL_GRACE_MS = 3_000;
/** At the end of the platform, pushes get this long to tell their pushers. */
const FAREWELL_MS = 2_000;
const KEPT_STDERR = 4_000;

export interface GitService {
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  timeoutMs: number;
  /** The request: its stream and the stages before git; none for an advertisement. */
  body?: { source: Readable; stages: Transform[] };
  response: ServerResponse;
  contentType: string;
  /** Sent before git's own bytes. */
  prefix?: Buffer;
  /** What happens to git when the client goes away: a fetch is pointless then, a push goes on. */
  whenClientLeaves: 'stop' | 'go-on';
}

/** Git processes that speak with clients: bytes in, bytes out, a time limit, and no process left behind. */
@Injectable()
export class GitProcesses implements OnModuleDestroy {
  readonly #running = new Map<ChildProcess, Promise<unknown>>();

  constructor(@Inject(LOGGER) private readonly log: Logger) {}

  /**
   * Runs git to its end. The head of the answer goes out with git's first byte; before that a failure is thrown as a
   * PlatformError, after it the answer is cut.
   */
  async serve(service: GitService): Promise<void> {
    const { args, env, response } = service;
    const command = gitCommand(args);
    const child = systemExec.spawn(command.file, command.args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const exited = new Promise<number | null>((resolve) =>
      child.once('error', () => resolve(null)).once('close', resolve),
    );
    this.#running.set(child, exited);
    const timer = setTimeout(() => void stop(child, exited), service.timeoutMs);
    const onClose = () => {
      if (service.whenClientLeaves === 'stop') void stop(child, exited);
    };
    response.once('close', onClose);
    try {
      const said = tailOf(child);
      const [fed] = await Promise.all([feed(child, service), drain(child, service)]);
      const code = await exited;
      if (code !== 0) this.log.info({ args: args.slice(0, 2), code, said: said() }, 'git ended early');
      if (!response.headersSent && (fed || code !== 0)) throw fed ?? failure(code, said());
      // Nothing to say is an answer too: git asks with an empty push whether it may send a large one.
      if (!response.headersSent && !response.destroyed) response.writeHead(200, headersOf(service));
      if (code === 0 || service.whenClientLeaves === 'go-on') response.end();
      else response.destroy();
    } finally {
      clearTimeout(timer);
      response.off('close', onClose);
      await stop(child, exited);
      this.#running.delete(child);
    }
  }

  async onModuleDestroy(): Promise<void> {
    const ends = [...this.#running].map(async ([child, exited]) => {
      await within(exited, FAREWELL_MS);
      await stop(child, exited);
    });
    await Promise.all(ends);
  }
}

/** Passes the request on to git. What went wrong with it is returned; git sees its input end early. */
async function feed(child: ChildProcess, { body }: GitService): Promise<PlatformError | undefined> {
  if (!child.stdin) return undefined;
  if (!body) {
    child.stdin.end();
    return undefined;
  }
  const [first, ...rest] = body.stages;
  if (!first) throw new PlatformError('internal', 'a request body without stages');
  // Not part of the pipeline, which would destroy the request, and with it the connection that the answer needs.
  const leave = () => {
    if (!body.source.readableEnded) first.destroy(new PlatformError('cancelled', 'the client went away'));
  };
  body.source.once('close', leave).once('error', leave).pipe(first);
  try {
    await pipeline([first, ...rest, child.stdin]);
    return undefined;
  } catch (error) {
    child.stdin.destroy();
    return error instanceof PlatformError ? error : undefined;
  } finally {
    body.source.unpipe(first).off('close', leave);
  }
}

/** Passes git's answer on at the client's pace; into nothing once it has gone, so that git never blocks. */
async function drain(child: ChildProcess, service: GitService): Promise<void> {
  const { response, prefix } = service;
  if (!child.stdout) return;
  const gone = new Promise<void>((resolve) => void response.once('close', resolve));
  response.on('error', () => {}); // the client went away
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    if (response.destroyed || response.writableEnded) continue;
    if (!response.headersSent) {
      response.writeHead(200, headersOf(service));
      if (prefix) response.write(prefix);
    }
    if (response.write(chunk)) continue;
    await Promise.race([gone, new Promise<void>((resolve) => void response.once('drain', resolve))]);
  }
}

function headersOf({ contentType }: GitService) {
  return { 'content-type': contentType, 'cache-control': 'no-store' };
}

function tailOf(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => (text = (text + chunk.toString('utf8')).slice(-KEPT_STDERR)));
  return () => text.trim();
}

function failure(code: number | null, said: string): PlatformError {
  const text = said.split('\n').at(-1) ?? '';
  return new PlatformError(
    'invalid_input',
    `git could not serve this request (${code ?? 'not started'}): ${text}`,
  );
}

/** Ends the process: SIGTERM, and SIGKILL when that does not help. Harmless once it has ended. */
async function stop(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill('SIGTERM');
  await within(exited, KILL_GRACE_MS);
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
}

async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([promise, systemClock.sleep(ms, timer.signal).catch(() => {})]);
  timer.abort();
}
