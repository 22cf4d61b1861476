import net from 'node:net';
import { isSystemError, PlatformError } from '#libs/errors';
import { ClientConnection, type ClientServices } from './client-connection.ts';
import { monotonicNow } from './deadlines.ts';

/** Where to listen: an address, or a listening socket that was handed down by the parent process. */
export type ListenOn = { host: string; port: number } | { fd: number };

/** The listening socket and the clients' connections. */
export class RouterServer {
  readonly #server: net.Server;
  readonly #connections = new Set<ClientConnection>();
  readonly #services: ClientServices;
  #onEmpty: (() => void) | undefined;

  constructor(services: ClientServices) {
    this.#services = services;
    // half-open: a client may close its sending half and still read the answer
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) =>
      this.#accept(socket),
    );
  }

  /** Resolves with the port once connections are accepted. Throws `conflict` or `forbidden` with what to do. */
  async listen(on: ListenOn): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => reject(explainListenError(error, on)));
      this.#server.listen('fd' in on ? { fd: on.fd } : { ...on, backlog: 4096 }, resolve);
    });
    this.#server.removeAllListeners('error');
    this.#server.on('error', () => {}); // one failed accept (e.g. no file descriptor left) must not end the router
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Stops accepting, lets requests finish for up to `withinMs`, then cuts what is left. */
  async drain(withinMs: number): Promise<void> {
    this.#server.close();
    for (const connection of this.#connections) connection.closeSoon();
    const timer = setTimeout(() => this.#cutAll(), withinMs);
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      this.#onConnectionsChanged();
    });
    clearTimeout(timer);
  }

  #accept(socket: net.Socket): void {
    const { connections } = this.#services.limits;
    if (this.#connections.size >= connections) this.#makeRoom();
    if (this.#connections.size >= connections) {
      socket.on('error', () => {});
      socket.end(
        'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n',
      );
      socket.destroySoon();
      return;
    }
    const connection = new ClientConnection(socket, this.#services, (closed) => {
      this.#connections.delete(closed);
      this.#onConnectionsChanged();
    });
    this.#connections.add(connection);
  }

  /** Closes the hundredth of the connections that has waited longest, so that idle ones keep nobody out. */
  #makeRoom(): void {
    const waiting = [...this.#connections].filter((connection) => connection.isWaiting);
    waiting.sort((a, b) => a.waitingSince - b.waitingSince);
    const now = monotonicNow();
    for (const connection of waiting.slice(0, Math.ceil(this.#services.limits.connections / 100))) {
      if (now - connection.waitingSince < 100) break; // has only just arrived
      this.#connections.delete(connection);
      connection.destroy();
    }
  }

  /** While draining, tunnels are cut as soon as only they are left: they would never end by themselves. */
  #onConnectionsChanged(): void {
    if (!this.#onEmpty) return;
    const onlyTunnels = [...this.#connections].every((connection) => connection.isTunnel);
    if (onlyTunnels && this.#connections.size > 0) this.#cutAll();
    if (this.#connections.size === 0) this.#onEmpty();
  }

  #cutAll(): void {
    for (const connection of this.#connections) connection.destroy();
  }
}

function explainListenError(error: Error, on: ListenOn): PlatformError {
  const where = 'fd' in on ? `the socket handed down as fd ${on.fd}` : `${on.host} port ${on.port}`;
  if (isSystemError(error, 'EADDRINUSE')) {
    return new PlatformError('conflict', `cannot listen on ${where}: another program uses this port`, {
      cause: error,
      hint: 'Stop that program (`ss -ltnp` shows it) or choose another port with `gantry up --http-port <port>`.',
    });
  }
  if (isSystemError(error, 'EACCES')) {
    return new PlatformError('forbidden', `cannot listen on ${where}: only root may use ports below 1024`, {
      cause: error,
      hint: 'Run as root or choose another port with `gantry up --http-port <port>`.',
    });
  }
  return new PlatformError('internal', `cannot listen on ${where}: ${error.message}`, { cause: error });
}
