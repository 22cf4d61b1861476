import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { ProgressEvent } from './progress.ts';
import type { StatusReport } from './status-report.ts';

export interface ControlHandlers {
  report: () => StatusReport;
  /** Stops the platform; tells `listener` how it goes until it is done. */
  down: (listener: (event: ProgressEvent) => void) => Promise<void>;
}

/** Serves `GET /status` and `POST /down` of a running `up` on a unix socket that root alone may use. */
export async function serveControl(socket: string, handlers: ControlHandlers): Promise<Server> {
  await rm(socket, { force: true }); // we hold the lock: whoever made it is gone
  const server = createServer((request, response) => {
    handle(request, response, handlers).catch(() => response.destroy());
  });
  server.listen(socket);
  await once(server, 'listening');
  await chmod(socket, 0o600);
  return server;
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  handlers: ControlHandlers,
): Promise<void> {
  request.resume();
  const what = `${request.method} ${request.url}`;
  if (what === 'GET /status') {
    response.setHeader('content-type', 'application/json').end(JSON.stringify(handlers.report()));
  } else if (what === 'POST /down') {
    response.setHeader('content-type', 'application/x-ndjson').flushHeaders();
    await handlers.down((event) => response.write(`${JSON.stringify(event)}\n`));
    response.end();
  } else {
    response.writeHead(404).end();
  }
}
