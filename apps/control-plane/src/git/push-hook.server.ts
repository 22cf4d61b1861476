import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import path from 'node:path';
import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { z } from 'zod';
import type { Logger } from '#libs/log';
import type { ControlPlaneConfig } from '../config.ts';
import { CONFIG, LOGGER } from '../tokens.ts';
import { terminalLines } from './progress-text.ts';
import type { PushMessage } from './push-protocol.ts';
import { PushSessions } from './push-sessions.ts';
import { PushesService } from './pushes.service.ts';

const MAX_BODY_BYTES = 1024 * 1024;

const oid = z.string().regex(/^[0-9a-f]{40}$/);
const Body = z.object({
  commands: z.array(z.object({ old: oid, new: oid, ref: z.string().min(1).max(4_096) })).min(1),
});

/** Where the proc-receive hooks of pushes call: HTTP on a unix socket in the data folder, one call each. */
@Injectable()
export class PushHookServer implements OnApplicationBootstrap, OnModuleDestroy {
  readonly socketPath: string;
  #server: Server | undefined;

  constructor(
    private readonly sessions: PushSessions,
    private readonly pushes: PushesService,
    @Inject(CONFIG) config: ControlPlaneConfig,
    @Inject(LOGGER) private readonly log: Logger,
  ) {
    this.socketPath = path.join(config.dataDir, 'run', 'pushes.sock');
  }

  async onApplicationBootstrap(): Promise<void> {
    await mkdir(path.dirname(this.socketPath), { recursive: true });
    await rm(this.socketPath, { force: true }); // of a process that was killed
    const server = createServer((request, response) => void this.#serve(request, response));
    server.requestTimeout = 0; // a push lasts as long as its build
    server.timeout = 0;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(this.socketPath, resolve);
    });
    await chmod(this.socketPath, 0o600);
    this.#server = server;
  }

  async onModuleDestroy(): Promise<void> {
    this.#server?.close();
    await rm(this.socketPath, { force: true });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const id = /^\/pushes\/([0-9a-z]+)$/.exec(request.url ?? '')?.[1];
    const secret = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
    const session = id && secret && request.method === 'POST' ? this.sessions.claim(id, secret) : undefined;
    if (!session) return void response.writeHead(403).end();
    response.on('error', () => {}); // the hook may go away: the push goes on
    const send = (message: PushMessage) => {
      if (response.writable) response.write(`${JSON.stringify(message)}\n`);
    };
    try {
      const { commands } = Body.parse(JSON.parse(await readBody(request)));
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.flushHeaders();
      const say = (text: string) => {
        for (const line of terminalLines(text)) send({ line });
      };
      send({ results: await this.pushes.receive(session, commands, say) });
    } catch (error) {
      this.log.error({ err: error, app: session.app.slug }, 'a push failed inside the platform');
      send({ line: 'Something went wrong inside the platform; its log (logs/control-plane.log) says more.' });
    }
    response.end();
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new RangeError(`the commands of a push exceed ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
