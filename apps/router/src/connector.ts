import { pickTarget } from './balancer.ts';
import { monotonicNow } from './deadlines.ts';
import type { Limits } from './limits.ts';
import { RequestError } from './request-error.ts';
import { noTargets, unknownHost } from './route-error.ts';
import type { RouteEntry, RouteMap } from './route-map.ts';
import type { Target } from './target.ts';
import type { UpstreamConnection } from './upstream-connection.ts';

/** A connection for one request. Whoever holds it calls `target.end()` once, when the request has ended. */
export interface Connected {
  connection: UpstreamConnection;
  target: Target;
  entry: RouteEntry;
}

export interface ConnectOptions {
  host: string;
  /** Take an idle connection only if it was idle for less than this; 0 always opens a new one. */
  maxIdleMs: number;
  onConnected(connected: Connected): void;
  onFailed(error: RequestError, entry: RouteEntry | undefined): void;
}

/** One search for a connection, while it lasts. */
export interface Connecting {
  /** Calls neither `onConnected` nor `onFailed` any more. */
  cancel(): void;
}

export interface ConnectorServices {
  routes: RouteMap;
  limits: Limits;
  domain: string;
}

/**
 * Finds a connection to an instance of a host. An instance that cannot be connected to is passed over for a while
 * and the next one is tried: always safe, since no byte of the request was sent.
 */
export class Connector {
  readonly #services: ConnectorServices;

  constructor(services: ConnectorServices) {
    this.#services = services;
  }

  /** With an idle connection at hand, `onConnected` is called before this returns. */
  connect(options: ConnectOptions): Connecting {
    const search = new Search(this.#services, options);
    search.next();
    return search;
  }
}

const NONE: ReadonlySet<Target> = new Set();

class Search implements Connecting {
  #tried = NONE;
  #lastError: Error | undefined;
  #current: { connection: UpstreamConnection; target: Target } | undefined;
  readonly #services: ConnectorServices;
  readonly #options: ConnectOptions;

  constructor(services: ConnectorServices, options: ConnectOptions) {
    this.#services = services;
    this.#options = options;
  }

  /** Looks the host up anew each time, so that a retry follows a table that has just changed. */
  next(): void {
    const { routes, domain, limits } = this.#services;
    const { host, maxIdleMs } = this.#options;
    const entry = routes.find(host);
    if (!entry) {
      this.#options.onFailed(unknownHost(host, domain), undefined);
      return;
    }
    if (entry.targets.length === 0) {
      this.#options.onFailed(noTargets(entry.route), entry);
      return;
    }
    const target = pickTarget(entry.targets, { nowMs: monotonicNow(), tried: this.#tried });
    if (!target) {
      this.#options.onFailed(this.#noneLeft(), entry);
      return;
    }
    const idle = maxIdleMs > 0 ? target.takeIdle(maxIdleMs) : undefined;
    if (idle) {
      target.begin();
      this.#options.onConnected({ connection: idle, target, entry });
      return;
    }
    if (target.full) {
      this.#giveUpOn(target);
      this.#lastError = new RequestError(
        'busy',
        `each instance has ${limits.connectionsPerTarget} open connections`,
        {
          hint: 'Try again in a moment.',
          retryAfterSeconds: 1,
        },
      );
      this.next();
      return;
    }
    this.#open(entry, target);
  }

  cancel(): void {
    const current = this.#current;
    this.#current = undefined;
    current?.connection.destroy();
    current?.target.end();
  }

  #open(entry: RouteEntry, target: Target): void {
    target.begin();
    const connection = target.connect((opened, error) => {
      if (!this.#current) return;
      this.#current = undefined;
      if (opened) {
        target.ejectedUntil = 0;
        return this.#options.onConnected({ connection: opened, target, entry });
      }
      target.end();
      target.ejectedUntil = monotonicNow() + this.#services.limits.ejectMs;
      this.#lastError = error;
      this.#giveUpOn(target);
      this.next();
    });
    this.#current = { connection, target };
  }

  #giveUpOn(target: Target): void {
    this.#tried = new Set(this.#tried).add(target);
  }

  #noneLeft(): RequestError {
    if (this.#lastError instanceof RequestError) return this.#lastError;
    return new RequestError('bad-gateway', 'none of the app’s instances accepts connections', {
      cause: this.#lastError,
      hint: 'The app may be restarting, or listen on another port than $PORT. Its owner sees more with `gantry logs`.',
      retryAfterSeconds: 2,
    });
  }
}
