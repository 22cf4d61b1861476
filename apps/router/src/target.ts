import type { RouteTarget } from '#libs/contract';
import { type Deadlines, monotonicNow } from './deadlines.ts';
import type { Limits } from './limits.ts';
import { UpstreamConnection, type UpstreamOwner } from './upstream-connection.ts';

export interface TargetServices {
  limits: Limits;
  deadlines: Deadlines;
}

/**
 * One instance that serves requests: how many are in flight, and the connections to it. It outlives the route table
 * that brought it for as long as requests run; `onLetGo` is called when the last one of a retired target has ended.
 */
export class Target implements UpstreamOwner {
  readonly instance: string;
  readonly host: string;
  readonly port: number;
  /** Requests that were given to it and have not ended. */
  inFlight = 0;
  /** It has left the table: no new requests. */
  retired = false;
  /** Passed over until then, on the scale of `monotonicNow`, because it refused a connection. */
  ejectedUntil = 0;
  #idle: UpstreamConnection[] = [];
  #open = 0;
  readonly #services: TargetServices;
  readonly #onLetGo: (target: Target) => void;

  constructor(target: RouteTarget, services: TargetServices, onLetGo: (target: Target) => void) {
    this.instance = target.instance;
    this.host = target.host;
    this.port = target.port;
    this.#services = services;
    this.#onLetGo = onLetGo;
  }

  /** Counts a request in; each `begin` is followed by one `end`. */
  begin(): void {
    this.inFlight++;
  }

  end(): void {
    this.inFlight--;
    if (this.retired && this.inFlight === 0) this.#onLetGo(this);
  }

  /** The idle connection used last, if it was idle for less than `maxIdleMs`. */
  takeIdle(maxIdleMs: number): UpstreamConnection | undefined {
    const oldest = monotonicNow() - maxIdleMs;
    while (this.#idle.length > 0) {
      const connection = this.#idle.at(-1);
      if (!connection || connection.idleSince < oldest) return undefined;
      this.#idle.pop();
      if (connection.usable) return connection;
    }
    return undefined;
  }

  /** True when it has as many connections as it may have, all in use. */
  get full(): boolean {
    return this.#open >= this.#services.limits.connectionsPerTarget;
  }

  /** Opens a connection; `done` gets it, or the error. */
  connect(
    done: (connection: UpstreamConnection | undefined, error: Error | undefined) => void,
  ): UpstreamConnection {
    this.#open++;
    const services = { owner: this, deadlines: this.#services.deadlines, limits: this.#services.limits };
    const connection = new UpstreamConnection(this, services, (error) =>
      done(error ? undefined : connection, error),
    );
    return connection;
  }

  /** Takes a connection back after a complete exchange. `keepAliveSeconds` is how long the app says it keeps it. */
  giveBack(connection: UpstreamConnection, keepAliveSeconds: number | undefined): void {
    const { targetIdleMs, idlePerTarget } = this.#services.limits;
    const idleMs = Math.min(
      targetIdleMs,
      keepAliveSeconds === undefined ? targetIdleMs : keepAliveSeconds * 1000 - 500,
    );
    if (this.retired || !connection.usable || this.#idle.length >= idlePerTarget || idleMs <= 0) {
      connection.destroy();
      return;
    }
    connection.becomeIdle(idleMs);
    this.#idle.push(connection);
  }

  /** Takes the target out of service; running requests go on. */
  retire(): void {
    this.retired = true;
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  onConnectionClosed(connection: UpstreamConnection): void {
    this.#open--;
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }
}
