import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { errorMessage } from '#libs/errors';
import type { Connector } from './connector.ts';
import { type Deadlines, type Expiring, monotonicNow } from './deadlines.ts';
import { errorResponse } from './error-page.ts';
import { Exchange, type ExchangeClient } from './exchange.ts';
import { findHeadEnd } from './http1/head-end.ts';
import { parseRequestHead, type RequestHead } from './http1/request-head.ts';
import { clientAddressOf } from './http1/upstream-head.ts';
import type { Limits } from './limits.ts';
import { badRequest, RequestError } from './request-error.ts';
import { type RequestDone, RequestTrace } from './request-trace.ts';
import type { UpgradeClient, UpgradeProxy } from './upgrade-proxy.ts';

export interface ClientServices {
  connector: Connector;
  upgrades: UpgradeProxy;
  deadlines: Deadlines;
  limits: Limits;
  onRequestDone(done: RequestDone): void;
}

type State = 'waiting' | 'reading-head' | 'exchange' | 'upgrading' | 'tunnel' | 'lingering' | 'closed';

/** One client's connection: reads heads, serves one request after the other, holds what is pipelined. */
export class ClientConnection implements Expiring, ExchangeClient, UpgradeClient {
  deadlineAt: number;
  /** Since when it waits for a request; for who must go first when there are too many connections. */
  waitingSince = monotonicNow();
  #draining = false;
  /** The client has closed its sending half; what it has sent before is still served. */
  #ended = false;
  #state: State = 'waiting';
  /** The beginning of a head, or requests that were sent before the one in service was answered. */
  #held: Buffer | undefined;
  #scanned = 0;
  #advancing = false;
  #exchange: Exchange | undefined;
  #request: RequestHead | undefined;
  #trace: RequestTrace | undefined;
  readonly #clientAddress: string;

  constructor(
    readonly socket: Socket,
    private readonly services: ClientServices,
    private readonly onClosed: (connection: ClientConnection) => void,
  ) {
    this.#clientAddress = clientAddressOf(socket.remoteAddress);
    this.deadlineAt = this.waitingSince + services.limits.idleMs;
    services.deadlines.watch(this);
    socket
      .on('data', this.#onData)
      .on('drain', this.#onDrain)
      .on('end', this.#onEnd)
      .on('finish', this.#onFinish)
      .on('error', () => {}) // 'close' follows
      .on('close', () => this.#onClose());
  }

  get closing(): boolean {
    return this.#draining || (this.#ended && this.#held === undefined);
  }

  /** True while no request is being served and none has begun. */
  get isWaiting(): boolean {
    return this.#state === 'waiting';
  }

  /** True once it is an upgraded connection, which only ends when one side wants to. */
  get isTunnel(): boolean {
    return this.#state === 'tunnel';
  }

  /** Ends the connection after the request in service; at once when there is none. */
  closeSoon(): void {
    this.#draining = true;
    if (this.#state === 'waiting') this.#linger();
  }

  destroy(): void {
    this.socket.destroy();
  }

  hold(data: Buffer): void {
    this.#held = this.#held ? Buffer.concat([this.#held, data]) : data;
    if (this.#held.length > this.services.limits.heldBytes) this.socket.pause();
  }

  resumeReading(): void {
    if ((this.#held?.length ?? 0) <= this.services.limits.heldBytes) this.socket.resume();
  }

  exchangeDone(close: boolean): void {
    this.#exchange = undefined;
    if (this.#state === 'closed') return;
    if (close || this.closing) {
      this.#linger();
      return;
    }
    this.#state = 'waiting';
    this.#scanned = 0;
    this.waitingSince = monotonicNow();
    this.deadlineAt = this.waitingSince + this.services.limits.idleMs;
    this.resumeReading();
    this.#advance();
  }

  refuse(error: RequestError, requestComplete: boolean): void {
    const request = this.#request;
    const close =
      error.status === 400 ||
      !requestComplete ||
      this.closing ||
      !request?.keepAlive ||
      request.version === 0;
    if (this.socket.writable) {
      const response = errorResponse(error, {
        accept: request?.accept ?? '',
        requestId: this.#trace?.facts.requestId ?? randomUUID(),
        headOnly: request?.method === 'HEAD',
        close,
      });
      this.socket.write(response);
    }
    this.exchangeDone(close);
  }

  abort(): void {
    this.socket.resetAndDestroy();
  }

  /** Gives the socket up to a tunnel. It stays counted here until it closes. */
  handOver(): Socket {
    this.#state = 'tunnel';
    this.deadlineAt = Number.POSITIVE_INFINITY;
    this.socket
      .off('data', this.#onData)
      .off('drain', this.#onDrain)
      .off('end', this.#onEnd)
      .off('finish', this.#onFinish);
    return this.socket;
  }

  onDeadline(): void {
    this.deadlineAt = Number.POSITIVE_INFINITY;
    switch (this.#state) {
      case 'exchange':
        this.#exchange?.onDeadline();
        return;
      case 'reading-head': {
        const seconds = this.services.limits.headMs / 1000;
        this.#refuseHead(
          new RequestError('request-timeout', `the request's head did not come within ${seconds} seconds`),
        );
        return;
      }
      default:
        this.socket.destroy();
    }
  }

  readonly #onData = (data: Buffer): void => {
    switch (this.#state) {
      case 'exchange':
        this.#exchange?.onClientData(data);
        return;
      case 'waiting':
      case 'reading-head':
        this.hold(data);
        this.#advance();
        return;
      case 'upgrading':
        this.hold(data);
        return;
      default: // lingering: read and dropped, so that closing does not reset the answer on its way
    }
  };

  readonly #onDrain = (): void => {
    if (this.#exchange) this.#exchange.onClientDrain();
    else this.#advance();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    if (this.#exchange) this.#exchange.onClientEnd();
    else if (this.#state !== 'lingering' && this.#state !== 'upgrading') this.socket.end();
  };

  readonly #onFinish = (): void => {
    if (this.#state === 'lingering') this.deadlineAt = monotonicNow() + this.services.limits.lingerMs;
  };

  #onClose(): void {
    this.#state = 'closed';
    this.#held = undefined;
    this.services.deadlines.forget(this);
    this.#exchange?.onClientClosed();
    this.#exchange = undefined;
    this.onClosed(this);
  }

  /** Sends what is left, then waits a moment for the client to close first. */
  #linger(): void {
    this.#state = 'lingering';
    this.#held = undefined;
    this.deadlineAt = monotonicNow() + this.services.limits.clientStallMs;
    this.socket.end();
    this.socket.resume();
  }

  /** Serves held requests one after the other, as a loop: thousands of them may sit in one packet. */
  #advance(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    try {
      while (this.#held && this.#readsHeads() && !this.socket.writableNeedDrain && this.#startRequest());
    } finally {
      this.#advancing = false;
    }
    if (!this.#readsHeads()) return;
    if (this.#ended && !this.socket.writableNeedDrain)
      this.#linger(); // the head will never be complete
    else this.resumeReading();
  }

  #readsHeads(): boolean {
    return this.#state === 'waiting' || this.#state === 'reading-head';
  }

  /** Starts the request whose head is held; false when the head is not complete. */
  #startRequest(): boolean {
    let request: RequestHead | undefined;
    try {
      request = this.#takeHead();
    } catch (error) {
      this.#refuseHead(
        error instanceof RequestError ? error : new RequestError('internal', errorMessage(error)),
      );
      return false;
    }
    if (!request) return false;
    const rest = this.#held;
    this.#held = undefined;
    this.#request = request;
    this.#trace = new RequestTrace(request, this.#clientAddress, this.services.onRequestDone);
    if (request.webSocket) {
      this.#state = 'upgrading';
      this.deadlineAt = Number.POSITIVE_INFINITY;
      this.socket.pause();
      this.services.upgrades.serve({ client: this, request, trace: this.#trace, rest });
    } else {
      this.#state = 'exchange';
      this.#exchange = new Exchange(this, request, this.#trace, this.services);
      this.#exchange.start(rest);
    }
    return true;
  }

  /** Takes a complete head off the held bytes. */
  #takeHead(): RequestHead | undefined {
    const { limits } = this.services;
    let data = this.#held ?? Buffer.alloc(0);
    if (this.#state === 'waiting') {
      // RFC 9112, section 2.2: one empty line before the request line is ignored
      if (data[0] === 0x0d && data[1] === 0x0a) data = data.subarray(2);
      if (data.length === 0 || (data.length === 1 && data[0] === 0x0d)) return undefined;
      if (!isTokenByte(data[0])) throw badRequest('this is not an HTTP request');
      this.#state = 'reading-head';
      this.#scanned = 0;
      this.deadlineAt = monotonicNow() + limits.headMs;
    }
    this.#held = data;
    const end = findHeadEnd(data, this.#scanned);
    if ((end < 0 ? data.length : end) > limits.headBytes) throw tooLarge(data, limits);
    if (end < 0) {
      this.#scanned = data.length;
      return undefined;
    }
    const request = parseRequestHead(data.toString('latin1', 0, end + 2), limits);
    this.#held = end + 4 < data.length ? data.subarray(end + 4) : undefined;
    return request;
  }

  /** A head that cannot be understood leaves no way to find the next one. */
  #refuseHead(error: RequestError): void {
    this.#request = undefined;
    this.#trace = undefined;
    this.refuse(error, false);
  }
}

function tooLarge(data: Buffer, limits: Limits): RequestError {
  const lineEnd = data.indexOf('\r\n');
  const lineOnly = lineEnd < 0 || lineEnd > limits.headBytes;
  return new RequestError(
    lineOnly ? 'uri-too-long' : 'head-too-large',
    `the ${lineOnly ? 'request line' : "request's head"} is larger than ${limits.headBytes} bytes`,
  );
}

function isTokenByte(byte: number | undefined): boolean {
  return (
    byte !== undefined &&
    byte > 0x20 &&
    byte < 0x7f &&
    !'"(),/:;<=>?@[\\]{}'.includes(String.fromCharCode(byte))
  );
}
