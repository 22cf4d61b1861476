import type { Client, EndpointDefinition, EndpointRequest, EndpointResponse } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from './cli.ts';

/** The longest a plain call may take; what takes longer on the platform is followed by a stream. */
const CALL_TIMEOUT_MS = 60_000;

/** The connection worked, and broke before the answer was whole. */
export class BrokenConnection extends PlatformError {}

/** The control plane as verbs see it: every call has a time limit, a spinner, and ends with Ctrl-C. */
export class Api {
  constructor(
    /** Origin of the platform. */
    readonly url: string,
    private readonly client: Client,
    private readonly cli: Cli,
  ) {}

  /** Calls an endpoint. Throws PlatformErrors: the platform's own, `unavailable` or `timeout`. */
  async call<E extends EndpointDefinition>(
    endpoint: E,
    request: EndpointRequest<E>,
  ): Promise<EndpointResponse<E>> {
    const limit = AbortSignal.timeout(CALL_TIMEOUT_MS);
    const signal = AbortSignal.any([this.cli.signal, limit]);
    try {
      return await this.cli.terminal.busy(endpoint.summary, () =>
        this.client.call(endpoint, request, { signal }),
      );
    } catch (error) {
      this.cli.signal.throwIfAborted();
      if (!limit.aborted) throw this.#explain(error, endpoint);
      throw new PlatformError('timeout', `${this.url} did not answer within ${CALL_TIMEOUT_MS / 1000} s`, {
        hint: 'What was asked for may still happen. `gantry status` shows how the platform is.',
      });
    }
  }

  /** Yields the lines of a streaming endpoint until the platform ends the stream, or fails as `call` does. */
  async *stream<E extends EndpointDefinition>(
    endpoint: E,
    request: EndpointRequest<E>,
  ): AsyncGenerator<Exclude<EndpointResponse<E>, undefined>> {
    try {
      yield* this.client.stream(endpoint, request, { signal: this.cli.signal });
    } catch (error) {
      this.cli.signal.throwIfAborted();
      throw this.#explain(error, endpoint);
    }
  }

  #explain(error: unknown, endpoint: EndpointDefinition): unknown {
    if (error instanceof PlatformError) {
      if (error.code !== 'unauthenticated') return error;
      const hint = `Log in again: \`gantry login\`, or \`gantry login --url ${this.url}\` with a new token.`;
      return new PlatformError(error.code, error.message, { cause: error, details: error.details, hint });
    }
    // fetch throws a TypeError when the connection breaks inside a body
    if (error instanceof TypeError) {
      return new BrokenConnection('unavailable', `the connection to ${this.url} broke (${endpoint.name})`, {
        cause: error,
        hint: 'Is the platform up? Try `gantry status`.',
      });
    }
    return new PlatformError('internal', `the answer of ${this.url} to ${endpoint.name} makes no sense`, {
      cause: error,
      hint: 'Platform and command line may be of different versions: compare `gantry version` and `gantry status`.',
    });
  }
}
