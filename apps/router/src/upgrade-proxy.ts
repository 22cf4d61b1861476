import { Agent, type ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { createProxyServer } from 'http-proxy-3';
import { errorMessage } from '#libs/errors';
import type { Connected, Connector } from './connector.ts';
import type { RequestHead } from './http1/request-head.ts';
import { webSocketHeaders } from './http1/upstream-head.ts';
import type { Limits } from './limits.ts';
import { RequestError } from './request-error.ts';
import type { RequestTrace } from './request-trace.ts';

/** The client's connection, as far as an upgrade may touch it. */
export interface UpgradeClient {
  readonly socket: Socket;
  refuse(error: RequestError, requestComplete: boolean): void;
  handOver(): Socket;
}

export interface Upgrade {
  client: UpgradeClient;
  request: RequestHead;
  trace: RequestTrace;
  /** Bytes that the client has sent after the head. */
  rest: Buffer | undefined;
}

/**
 * WebSocket handshakes and the tunnels that they become, by http-proxy-3: their speed is the network's, so there is
 * nothing to win with code of our own. The head was already read and checked by the one parser that this router
 * has; it is handed over as an IncomingMessage and not parsed again. The connection to the instance comes from the
 * Connector as for any request (same balance, same retries) through an agent that only knows this one socket.
 */
export class UpgradeProxy {
  readonly #proxy = createProxyServer({ toProxy: true }); // toProxy: send the path as it is, not normalised
  readonly #tunnels = new Map<IncomingMessage, Tunnel>();

  constructor(
    private readonly connector: Connector,
    private readonly limits: Limits,
  ) {
    this.#proxy.on('proxyReqWs', (outgoing, incoming) => this.#tunnels.get(incoming)?.onRequest(outgoing));
  }

  serve(upgrade: Upgrade): void {
    const { client, request, trace } = upgrade;
    const onGone = () => {
      search.cancel();
      trace.done();
    };
    client.socket.once('close', onGone);
    const search = this.connector.connect({
      host: request.host,
      maxIdleMs: 0,
      onConnected: (connected) => {
        client.socket.off('close', onGone);
        this.#open(upgrade, connected);
      },
      onFailed: (error, entry) => {
        client.socket.off('close', onGone);
        trace.entry = entry;
        trace.status = error.status;
        trace.error = error;
        client.refuse(error, true);
        trace.done();
      },
    });
  }

  #open({ client, request, trace, rest }: Upgrade, { connection, target, entry }: Connected): void {
    trace.entry = entry;
    trace.target = target;
    const upstream = connection.detach();
    const socket = client.handOver();
    const incoming = new IncomingMessage(socket);
    incoming.method = request.method;
    incoming.url = request.target;
    incoming.httpVersion = '1.1';
    incoming.httpVersionMajor = 1;
    incoming.httpVersionMinor = 1;
    incoming.headers = webSocketHeaders(request, trace.facts) as IncomingMessage['headers'];
    const tunnel = new Tunnel({ client, upstream, trace, limits: this.limits });
    this.#tunnels.set(incoming, tunnel);
    upstream.once('close', () => {
      this.#tunnels.delete(incoming);
      target.end();
      trace.done();
    });
    const options = { target: { host: target.host, port: target.port }, agent: new OneSocketAgent(upstream) };
    try {
      this.#proxy.ws(incoming, socket, rest ?? Buffer.alloc(0), options, (error) => tunnel.onError(error));
    } catch (error) {
      tunnel.onError(error);
      socket.destroySoon();
    }
  }
}

/** Gives a request the connection that was already made for it. */
class OneSocketAgent extends Agent {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super({ keepAlive: false });
    this.#socket = socket;
  }

  override createConnection(): Socket {
    return this.#socket;
  }
}

interface TunnelParts {
  client: UpgradeClient;
  upstream: Socket;
  trace: RequestTrace;
  limits: Limits;
}

/** Adds to http-proxy-3 what it leaves to its user: time limits, error pages, and back-pressure on refusals. */
class Tunnel {
  #answered = false;
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly parts: TunnelParts) {
    const { client, upstream, limits } = parts;
    this.#timer = setTimeout(() => this.#onTimeout(), limits.responseMs);
    client.socket.once('close', () => {
      clearTimeout(this.#timer);
      endSoon(upstream, limits.lingerMs);
    });
    upstream.once('close', () => endSoon(client.socket, limits.lingerMs));
  }

  onRequest(outgoing: ClientRequest): void {
    const { client, upstream, trace, limits } = this.parts;
    const onAnswer = (status: number) => {
      clearTimeout(this.#timer);
      this.#answered = true;
      trace.status = status;
    };
    // it was paused on its way here; node:http listens by now
    outgoing.once('socket', () => upstream.resume());
    outgoing.once('upgrade', () => {
      onAnswer(101);
      // http-proxy-3 clears both time-outs while it sets the tunnel up, right after this event
      setImmediate(() => {
        client.socket.setTimeout(limits.tunnelIdleMs, () => client.socket.destroy());
        upstream.setTimeout(limits.tunnelIdleMs, () => upstream.destroy());
      });
    });
    outgoing.once('response', (response) => {
      onAnswer(response.statusCode ?? 502);
      response.headers.connection = 'close';
      // it writes a refusal's body without waiting for the client to read it
      response.on('data', () => {
        if (!client.socket.writableNeedDrain) return;
        response.pause();
        client.socket.once('drain', () => response.resume());
      });
    });
  }

  /** http-proxy-3 closes the client's connection after this, once what is written here has left. */
  onError(error: unknown): void {
    clearTimeout(this.#timer);
    if (this.#answered) return;
    this.#answered = true;
    const failure = new RequestError(
      'bad-gateway',
      `the app did not answer the handshake: ${errorMessage(error)}`,
      {
        cause: error,
        hint: 'Its owner sees more with `gantry logs`.',
      },
    );
    this.#answer(failure);
  }

  #onTimeout(): void {
    if (this.#answered) return;
    this.#answered = true;
    const seconds = this.parts.limits.responseMs / 1000;
    this.#answer(
      new RequestError('gateway-timeout', `the app did not answer the handshake within ${seconds} seconds`),
    );
    this.parts.upstream.destroy();
  }

  #answer(error: RequestError): void {
    this.parts.trace.status = error.status;
    this.parts.trace.error = error;
    this.parts.client.refuse(error, false);
  }
}

/** The other side is gone: this one gets a moment to take what is still on its way. */
function endSoon(socket: Socket, afterMs: number): void {
  if (socket.destroyed) return;
  socket.end();
  const timer = setTimeout(() => socket.destroy(), afterMs);
  socket.once('close', () => clearTimeout(timer));
}
