import net from 'node:net';
import { type Deadlines, type Expiring, monotonicNow } from './deadlines.ts';
import type { Limits } from './limits.ts';

/** Who uses a connection at the moment. */
export interface UpstreamUser {
  onUpstreamData(data: Buffer): void;
  onUpstreamDrain(): void;
  /** The connection has ended; `clean` when the instance closed it in order (FIN, no error). */
  onUpstreamClosed(clean: boolean): void;
}

/** What a connection tells its target. */
export interface UpstreamOwner {
  onConnectionClosed(connection: UpstreamConnection): void;
}

export interface UpstreamAddress {
  host: string;
  port: number;
}

/** One TCP connection to an instance. It is connecting, in use by one request, idle, or gone. */
export class UpstreamConnection implements Expiring {
  readonly socket: net.Socket;
  deadlineAt: number;
  /** It has served a request before, so the instance may just be closing it. */
  reused = false;
  idleSince = 0;
  #user: UpstreamUser | undefined;
  #connecting: ((error: Error | undefined) => void) | undefined;
  #sawEnd = false;
  #failed = false;
  readonly #owner: UpstreamOwner;
  readonly #deadlines: Deadlines;

  /** Starts connecting; `onConnected` is called once, with the error if it failed. */
  constructor(
    address: UpstreamAddress,
    services: { owner: UpstreamOwner; deadlines: Deadlines; limits: Pick<Limits, 'connectMs'> },
    onConnected: (error: Error | undefined) => void,
  ) {
    this.#owner = services.owner;
    this.#deadlines = services.deadlines;
    this.#connecting = onConnected;
    this.deadlineAt = monotonicNow() + services.limits.connectMs;
    this.#deadlines.watch(this);
    this.socket = net.connect({ host: address.host, port: address.port, noDelay: true, keepAlive: true });
    this.socket
      .on('connect', () => this.#onConnect())
      .on('data', this.#onData)
      .on('drain', this.#onDrain)
      .on('end', this.#onEnd)
      .on('error', (error) => this.#onError(error))
      .on('close', () => this.#onClose());
  }

  /** Hands the connection to a request. */
  attach(user: UpstreamUser): void {
    this.#user = user;
    this.deadlineAt = Number.POSITIVE_INFINITY;
  }

  /** The request is done and the connection waits for the next one until `deadlineAt`. */
  becomeIdle(idleMs: number): void {
    this.#user = undefined;
    this.reused = true;
    this.idleSince = monotonicNow();
    this.deadlineAt = this.idleSince + idleMs;
    this.socket.resume();
  }

  /** Ends the connection; its user hears nothing more. */
  destroy(): void {
    this.#user = undefined;
    this.socket.destroy();
  }

  /** Gives up the socket to another owner, e.g. a tunnel. It must be connected. */
  detach(): net.Socket {
    this.socket.off('data', this.#onData).off('drain', this.#onDrain).off('end', this.#onEnd);
    this.socket.pause();
    this.#user = undefined;
    this.deadlineAt = Number.POSITIVE_INFINITY;
    return this.socket;
  }

  /** False once the instance has closed it or may have. */
  get usable(): boolean {
    return this.socket.writable && !this.#sawEnd && !this.#failed;
  }

  onDeadline(): void {
    const connecting = this.#connecting;
    this.#connecting = undefined;
    this.deadlineAt = Number.POSITIVE_INFINITY;
    this.#failed = true;
    this.socket.destroy();
    connecting?.(Object.assign(new Error('connecting took too long'), { code: 'ETIMEDOUT' }));
  }

  #onConnect(): void {
    const connecting = this.#connecting;
    this.#connecting = undefined;
    this.deadlineAt = Number.POSITIVE_INFINITY;
    connecting?.(undefined);
  }

  readonly #onData = (data: Buffer): void => {
    if (this.#user) this.#user.onUpstreamData(data);
    else this.socket.destroy(); // bytes that nobody asked for must not become the next request's response
  };

  readonly #onDrain = (): void => this.#user?.onUpstreamDrain();

  /** The instance will send nothing more, so the exchange is over, whatever it would still take from us. */
  readonly #onEnd = (): void => {
    this.#sawEnd = true;
    this.socket.destroy();
    this.#tellUser();
  };

  #onError(error: Error): void {
    this.#failed = true;
    const connecting = this.#connecting;
    this.#connecting = undefined;
    connecting?.(error);
  }

  #onClose(): void {
    this.#deadlines.forget(this);
    this.#owner.onConnectionClosed(this);
    this.#tellUser();
  }

  #tellUser(): void {
    const user = this.#user;
    this.#user = undefined;
    user?.onUpstreamClosed(this.#sawEnd && !this.#failed);
  }
}
