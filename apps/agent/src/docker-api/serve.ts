import { once } from 'node:events';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import path from 'node:path';
import { VERSION } from '#libs/contract';
import { HTTP_STATUS, toPlatformError } from '#libs/errors';
import type { Logger } from '#libs/log';
import { type ApiAnswer, answer, type ContainerSource } from './routes.ts';
import { API_VERSION } from './version.ts';

/**
 * Serves the Docker Engine API on a unix socket that only root may use (0600). What it offers is read-only: see
 * `routes.ts`. Returns the way to stop it.
 */
export async function serveDockerApi(
  socket: string,
  containers: ContainerSource,
  log: Logger,
): Promise<() => Promise<void>> {
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    request.resume(); // no request here has a body that matters
    send(
      response,
      request.method ?? 'GET',
      () => answer(request.method ?? 'GET', request.url ?? '/', containers),
      log,
    );
  });
  await mkdir(path.dirname(socket), { recursive: true });
  await rm(socket, { force: true }); // left by an agent that was killed
  listenPrivately(server, socket);
  await once(server, 'listening');
  await chmod(socket, 0o600);
  return async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
    await rm(socket, { force: true });
  };
}

/** The socket must never be there with an open mode, not even for a moment. Binding happens within `listen`. */
function listenPrivately(server: Server, socket: string): void {
  const before = process.umask(0o177);
  try {
    server.listen(socket);
  } finally {
    process.umask(before);
  }
}

function send(response: ServerResponse, method: string, ask: () => ApiAnswer, log: Logger): void {
  let { status, body }: ApiAnswer = { status: 500, body: { message: 'no answer' } };
  try {
    ({ status, body } = ask());
  } catch (error) {
    const known = toPlatformError(error);
    status = HTTP_STATUS[known.code];
    body = { message: known.message };
    if (status >= 500) log.error({ err: error }, 'the Docker API failed');
  }
  const text = typeof body === 'string' ? body : `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'Api-Version': API_VERSION,
    Ostype: 'linux',
    'Docker-Experimental': 'false',
    'Builder-Version': '1',
    Server: `Gantry/${VERSION} (linux)`,
    'Cache-Control': 'no-cache, no-store, must-revalidate',
    'Content-Type': typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json',
    'Content-Length': Buffer.byteLength(text),
  });
  response.end(method === 'HEAD' ? undefined : text);
}
