import type { Socket } from 'node:net';
import { errorMessage } from '#libs/errors';
import type { Connected, Connecting, Connector } from './connector.ts';
import { monotonicNow } from './deadlines.ts';
import { type Body, bodyFor } from './http1/body.ts';
import type { RequestHead } from './http1/request-head.ts';
import type { ResponseHead } from './http1/response-head.ts';
import { upstreamHead } from './http1/upstream-head.ts';
import { writeMessage, writePieces } from './http1/write-message.ts';
import type { Limits } from './limits.ts';
import { RequestError } from './request-error.ts';
import type { RequestTrace } from './request-trace.ts';
import { clientHead, ResponseHeadReader } from './response-head-reader.ts';
import type { UpstreamUser } from './upstream-connection.ts';

/** The client's connection, as far as one exchange may touch it. */
export interface ExchangeClient {
  readonly socket: Socket;
  /** No further request will be served on this connection. */
  readonly closing: boolean;
  deadlineAt: number;
  /** Keeps bytes that belong to the next request. */
  hold(data: Buffer): void;
  /** Reads on, unless too much is held already. */
  resumeReading(): void;
  /** The response is out; `close` when the connection cannot be used again. */
  exchangeDone(close: boolean): void;
  /** Answers with a page instead of an app's response. */
  refuse(error: RequestError, requestComplete: boolean): void;
  /** Cuts the connection so that the client can tell: the response is not complete. */
  abort(): void;
}

export interface ExchangeServices {
  connector: Connector;
  limits: Limits;
}

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);
const NEVER = Number.POSITIVE_INFINITY;

/**
 * One request and its response. Bytes of both bodies pass through as they come, each side reading only as fast as
 * the other takes; only heads are parsed. It ends in exactly one of: done, refused with a page, cut, client gone.
 */
export class Exchange implements UpstreamUser {
  #connecting: Connecting | undefined;
  #connected: Connected | undefined;
  #requestBody: Body | undefined;
  #requestDone = false;
  /** Body bytes that came before there was a connection. */
  #pending: Buffer | undefined;
  #upstreamBlocked = false;
  #retried = false;
  readonly #headReader: ResponseHeadReader;
  #response: ResponseHead | undefined;
  #responseBody: Body | undefined;
  #clientBlocked = false;
  #closeAfter = false;
  #halfClosed = false;
  #ended = false;

  constructor(
    private readonly client: ExchangeClient,
    private readonly request: RequestHead,
    private readonly trace: RequestTrace,
    private readonly services: ExchangeServices,
  ) {
    this.#headReader = new ResponseHeadReader(request, services.limits);
  }

  /** @param rest what the client has sent after the head */
  start(rest: Buffer | undefined): void {
    const { framing, contentLength } = this.request;
    this.#requestBody = bodyFor({ framing, contentLength, mode: 'relay', limits: this.services.limits });
    this.#requestDone = this.#requestBody === undefined;
    if (!this.#requestDone) this.#pending = rest;
    else if (rest) this.client.hold(rest);
    const { targetIdleMs, freshIdleMs } = this.services.limits;
    this.#connect(this.#repeatable() ? targetIdleMs : freshIdleMs);
  }

  onClientData(data: Buffer): void {
    if (this.#requestDone) {
      this.client.hold(data);
      return;
    }
    if (!this.#connected) {
      this.#pending = this.#pending ? Buffer.concat([this.#pending, data]) : data;
      return;
    }
    const pieces: Buffer[] = [];
    if (!this.#feedRequest(data, pieces)) return;
    if (pieces.length > 0 && !writePieces(this.#connected.connection.socket, pieces)) this.#blockUpstream();
    this.#arm();
  }

  onClientDrain(): void {
    this.#clientBlocked = false;
    this.#connected?.connection.socket.resume();
    this.#arm();
  }

  /** The client has closed its sending half. */
  onClientEnd(): void {
    this.#halfClosed = true;
    if (this.#requestDone) {
      this.#arm();
      return;
    }
    this.#end();
    this.client.exchangeDone(true);
  }

  onClientClosed(): void {
    this.#end();
  }

  onDeadline(): void {
    if (this.#response || this.#halfClosed) {
      this.#cut();
      return;
    }
    if (!this.#requestDone && !this.#upstreamBlocked) {
      const seconds = this.services.limits.bodyIdleMs / 1000;
      this.#fail(new RequestError('request-timeout', `no byte of the request came for ${seconds} seconds`));
      return;
    }
    const seconds = this.services.limits.responseMs / 1000;
    this.#fail(
      new RequestError('gateway-timeout', `the app did not answer within ${seconds} seconds`, {
        hint: 'Its owner sees what it is doing with `gantry logs`. Long work belongs into a worker process.',
      }),
    );
  }

  onUpstreamData(data: Buffer): void {
    if (this.#response) {
      this.#relayResponse(data);
      return;
    }
    try {
      const found = this.#headReader.read(data, (interim) => this.client.socket.write(interim, 'latin1'));
      if (found) this.#startResponse(found.head, found.rest);
    } catch (error) {
      this.#fail(badGateway(`the app sent a response that is not HTTP: ${errorMessage(error)}`, error));
    }
  }

  onUpstreamDrain(): void {
    this.#upstreamBlocked = false;
    this.client.resumeReading();
    this.#arm();
  }

  onUpstreamClosed(clean: boolean): void {
    const reused = this.#connected?.connection.reused === true;
    this.#release();
    if (this.#response) {
      if (this.#response.framing === 'close' && clean) {
        this.#finish();
        return;
      }
      this.#cut();
      return;
    }
    if (reused && !this.#retried && this.#repeatable() && this.#headReader.untouched) {
      this.#retried = true;
      this.#connect(0);
      return;
    }
    this.#fail(badGateway('the app closed the connection before it answered'));
  }

  /** Safe to send a second time (RFC 9110, section 9.2.2), and we still have all of it. */
  #repeatable(): boolean {
    return this.#requestBody === undefined && IDEMPOTENT.has(this.request.method);
  }

  #connect(maxIdleMs: number): void {
    this.client.deadlineAt = NEVER; // connecting has a limit of its own
    if (!this.#requestDone) this.client.socket.pause();
    this.#connecting = this.services.connector.connect({
      host: this.request.host,
      maxIdleMs,
      onConnected: (connected) => this.#onConnected(connected),
      onFailed: (error, entry) => {
        this.trace.entry = entry;
        this.#fail(error);
      },
    });
  }

  #onConnected(connected: Connected): void {
    const { connection } = connected;
    this.#connected = connected;
    this.trace.entry = connected.entry;
    this.trace.target = connected.target;
    connection.attach(this);
    const pending = this.#pending;
    this.#pending = undefined;
    const pieces: Buffer[] = [];
    if (pending && !this.#feedRequest(pending, pieces)) return;
    const head = upstreamHead(this.request, this.trace.facts);
    if (!writeMessage(connection.socket, head, pieces, this.services.limits.smallBodyBytes))
      this.#blockUpstream();
    if (!this.#upstreamBlocked) this.client.resumeReading();
    this.#arm();
  }

  /** Takes body bytes from `data`; false when they were malformed and the exchange is over. */
  #feedRequest(data: Buffer, pieces: Buffer[]): boolean {
    try {
      const end = this.#requestBody?.feed(data, 0, pieces) ?? 0;
      if (end < 0) return true;
      this.#requestDone = true;
      if (end < data.length) this.client.hold(data.subarray(end));
      return true;
    } catch (error) {
      this.#fail(error instanceof RequestError ? error : new RequestError('internal', errorMessage(error)));
      return false;
    }
  }

  #blockUpstream(): void {
    this.#upstreamBlocked = true;
    if (!this.#requestDone) this.client.socket.pause();
  }

  #startResponse(head: ResponseHead, rest: Buffer): void {
    const { request, client } = this;
    const mode = request.version === 0 ? 'payload' : 'relay';
    const body = bodyFor({ ...head, mode, limits: this.services.limits });
    // a client that is still sending may never stop: it gets the answer, but not the connection for another request
    const close = !request.keepAlive || client.closing || !this.#requestDone || head.framing === 'close';
    this.#closeAfter = close || (request.version === 0 && head.framing === 'chunked');
    const pieces: Buffer[] = [];
    const end = body ? body.feed(rest, 0, pieces) : 0; // may throw: nothing was sent yet
    this.#response = head;
    this.#responseBody = body;
    this.trace.status = head.status;
    const text = clientHead(head, { version: request.version, close: this.#closeAfter });
    if (!writeMessage(client.socket, text, pieces, this.services.limits.smallBodyBytes)) this.#blockClient();
    this.#arm();
    if (end >= 0) this.#complete(end < rest.length);
  }

  #relayResponse(data: Buffer): void {
    const pieces: Buffer[] = [];
    let end: number;
    try {
      end = this.#responseBody?.feed(data, 0, pieces) ?? 0;
    } catch {
      this.#cut();
      return;
    }
    if (pieces.length > 0 && !writePieces(this.client.socket, pieces)) this.#blockClient();
    this.#arm();
    if (end >= 0) this.#complete(end < data.length);
  }

  #blockClient(): void {
    this.#clientBlocked = true;
    this.#connected?.connection.socket.pause();
  }

  /** The response is complete. Bytes after it make the app's connection unfit for another request. */
  #complete(surplus: boolean): void {
    const connected = this.#connected;
    const keep = this.#response?.keepAlive === true && this.#requestDone && !surplus;
    if (connected && keep) connected.target.giveBack(connected.connection, this.#response?.keepAliveSeconds);
    else connected?.connection.destroy();
    this.#release();
    this.#finish();
  }

  #finish(): void {
    const close = this.#closeAfter || !this.#requestDone;
    this.#end();
    this.client.exchangeDone(close);
  }

  #fail(error: RequestError): void {
    if (this.#ended) return;
    if (this.#response) {
      this.#cut();
      return;
    }
    this.trace.status = error.status;
    this.trace.error = error;
    this.#end();
    this.client.refuse(error, this.#requestDone);
  }

  #cut(): void {
    this.#end();
    this.client.abort();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#connecting?.cancel();
    this.#connected?.connection.destroy();
    this.#release();
    this.trace.done();
  }

  #release(): void {
    const connected = this.#connected;
    this.#connected = undefined;
    connected?.target.end();
  }

  /** Sets the deadline of what is being waited for now. */
  #arm(): void {
    if (!this.#ended) this.client.deadlineAt = monotonicNow() + this.#patienceMs();
  }

  #patienceMs(): number {
    const { limits } = this.services;
    if (this.#clientBlocked) return limits.clientStallMs;
    if (this.#halfClosed) return limits.halfCloseMs;
    if (this.#response) return limits.responseIdleMs;
    return this.#requestDone || this.#upstreamBlocked ? limits.responseMs : limits.bodyIdleMs;
  }
}

function badGateway(message: string, cause?: unknown): RequestError {
  return new RequestError('bad-gateway', message, {
    cause,
    hint: 'Its owner sees more with `gantry logs`.',
  });
}
