/**
 * Every limit of the router, by name. What a client sees when one is hit stands beside it; times are in
 * milliseconds, sizes in bytes.
 */
export interface Limits {
  /** Request line and headers together: 431 (414 when the request line alone is longer). From an app: 502. */
  headBytes: number;
  /** Header lines of a message: 431. From an app: 502. */
  headerFields: number;
  /** Trailers and chunk extensions of one message, each: 400. From an app: the response is cut. */
  trailerBytes: number;
  /** From the first byte of a head to its last: 408. */
  headMs: number;
  /** An open connection without a request: closed. */
  idleMs: number;
  /** A request body that stands still: 408. */
  bodyIdleMs: number;
  /** From the request's last byte (or an app that takes no more of the body) to the response's first byte: 504. */
  responseMs: number;
  /** A response that stands still, e.g. between two server-sent events: cut. */
  responseIdleMs: number;
  /** A client that takes nothing of its response: cut. */
  clientStallMs: number;
  /** A client that has closed its sending half and gets no byte for so long is taken to be gone. */
  halfCloseMs: number;
  /** How long a closing connection still drains what the client sends, so that it can read our last answer. */
  lingerMs: number;
  /** An upgraded connection (WebSocket) without a byte in either direction: closed. */
  tunnelIdleMs: number;
  /** Connecting to an instance: the next one is tried, else 502. */
  connectMs: number;
  /** How long an instance that refused a connection is passed over, unless it is the last one. */
  ejectMs: number;
  /** Client connections: the longest idle ones are closed; with none idle, 503. */
  connections: number;
  /** Connections to one instance: 503. */
  connectionsPerTarget: number;
  /** Idle connections kept to one instance. */
  idlePerTarget: number;
  /** An idle connection to an instance is kept so long; below the 5 s after which Node apps close theirs. */
  targetIdleMs: number;
  /** A request that must not be sent twice only takes a connection that was idle for less than this. */
  freshIdleMs: number;
  /** Bytes of pipelined requests held while an earlier one is served; then the connection is not read. */
  heldBytes: number;
  /** Interim (1xx) responses to one request: 502. */
  interimResponses: number;
  /** A request's bytes and a response's smaller than this leave in the same write as their head. */
  smallBodyBytes: number;
  /** From SIGTERM to the end, whatever still runs. */
  drainMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  headBytes: 32 * 1024,
  headerFields: 128,
  trailerBytes: 8 * 1024,
  headMs: 15_000,
  idleMs: 75_000,
  bodyIdleMs: 30_000,
  responseMs: 60_000,
  responseIdleMs: 600_000,
  clientStallMs: 60_000,
  halfCloseMs: 5_000,
  lingerMs: 2_000,
  tunnelIdleMs: 3_600_000,
  connectMs: 2_000,
  ejectMs: 10_000,
  connections: 16_000,
  connectionsPerTarget: 1_024,
  idlePerTarget: 256,
  targetIdleMs: 4_000,
  freshIdleMs: 1_000,
  heldBytes: 64 * 1024,
  interimResponses: 16,
  smallBodyBytes: 4 * 1024,
  drainMs: 25_000,
};
