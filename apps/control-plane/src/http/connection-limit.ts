import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** From the first byte of a head to its last; below the 60 s that Node allows. */
const HEAD_TIMEOUT_MS = 15_000;

/**
 * Bounds a server's connections. When one comes beyond the limit, the longest idle one (without a request under way, be
 * it that it sends its head forever) is closed to make room; with none idle the new one is.
 */
export function limitConnections(server: Server, maxConnections: number): void {
  server.headersTimeout = HEAD_TIMEOUT_MS;
  /** The requests under way on each; those without any lie in the order in which they fell idle. */
  const open = new Map<Socket, number>();
  const change = (socket: Socket, by: number) => {
    const requests = open.get(socket);
    if (requests === undefined) return;
    open.delete(socket); // to the end of the order
    open.set(socket, requests + by);
  };
  server.on('connection', (socket: Socket) => {
    socket.once('close', () => open.delete(socket));
    if (open.size >= maxConnections) {
      const idle = [...open].find(([, requests]) => requests === 0)?.[0];
      if (!idle) return void socket.destroy();
      open.delete(idle);
      idle.destroy();
    }
    open.set(socket, 0);
  });
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    change(socket, 1);
    response.once('close', () => change(socket, -1));
  });
}
