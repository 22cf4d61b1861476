import { randomUUID } from 'node:crypto';
import { monotonicNow } from './deadlines.ts';
import type { RequestHead } from './http1/request-head.ts';
import type { ForwardedFacts } from './http1/upstream-head.ts';
import type { RequestError } from './request-error.ts';
import type { RouteEntry } from './route-map.ts';
import type { Target } from './target.ts';

/** One finished request, for the access log and metrics. */
export interface RequestDone {
  requestId: string;
  clientAddress: string;
  method: string;
  host: string;
  target: string;
  /** What the client got; undefined when it left before the answer. 101 for a tunnel that has ended. */
  status: number | undefined;
  durationMs: number;
  /** Slug of the app; undefined for an unknown host. */
  app: string | undefined;
  instance: string | undefined;
  /** Set when the router answered itself. */
  error: RequestError | undefined;
}

/** What is known of a request while it runs; reports it once when it is done. */
export class RequestTrace {
  entry: RouteEntry | undefined;
  target: Target | undefined;
  status: number | undefined;
  error: RequestError | undefined;
  readonly facts: ForwardedFacts;
  readonly #request: RequestHead;
  readonly #startedAt = monotonicNow();
  readonly #onDone: (done: RequestDone) => void;

  constructor(request: RequestHead, clientAddress: string, onDone: (done: RequestDone) => void) {
    this.#request = request;
    this.#onDone = onDone;
    this.facts = { clientAddress, requestId: randomUUID(), startedAtMs: Date.now() };
  }

  done(): void {
    this.#onDone({
      requestId: this.facts.requestId,
      clientAddress: this.facts.clientAddress,
      method: this.#request.method,
      host: this.#request.host,
      target: this.#request.target,
      status: this.status,
      durationMs: monotonicNow() - this.#startedAt,
      app: this.entry?.route.app.slug,
      instance: this.target?.instance,
      error: this.error,
    });
  }
}
