import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import {
  buildSourcePath,
  Client,
  type EndpointDefinition,
  type EndpointRequest,
  type EndpointResponse,
} from '#libs/contract';
import { type ErrorCode, errorMessage, PlatformError } from '#libs/errors';
import type { Clock } from '#libs/host';
import type { Logger } from '#libs/log';
import { retryDelayMs } from './retry-delay.ts';

/** Answers that a repeat would not change: the request itself is at fault. */
const FINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'invalid_input',
  'too_large',
  'not_found',
  'conflict',
]);
const CALL_TIMEOUT_MS = 40_000;
const SOURCE_TIMEOUT_MS = 10 * 60_000;

export interface ControlPlaneDeps {
  url: string;
  token: string;
  clock: Clock;
  log: Logger;
}

/**
 * The agent's way to the control plane. It knows whether the other side is away, and says so once when it goes and
 * once when it is back, however many callers keep trying.
 */
export class ControlPlane {
  readonly url: string;
  readonly token: string;
  readonly #client: Client;
  #away = false;

  constructor(private readonly deps: ControlPlaneDeps) {
    this.url = deps.url;
    this.token = deps.token;
    this.#client = new Client({ url: deps.url, token: deps.token });
  }

  /** True from a call that found nobody until one that is answered. */
  get away(): boolean {
    return this.#away;
  }

  /** One call, at most 40 s. Throws what `Client` throws; `timeout` when the answer did not come. */
  async call<E extends EndpointDefinition>(
    endpoint: E,
    request: EndpointRequest<E>,
    signal: AbortSignal,
  ): Promise<EndpointResponse<E>> {
    const timeout = AbortSignal.timeout(CALL_TIMEOUT_MS);
    try {
      const answer = await this.#client.call(endpoint, request, {
        signal: AbortSignal.any([signal, timeout]),
      });
      this.#reached();
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      this.#failed(endpoint.name, error);
      if (timeout.aborted)
        throw new PlatformError('timeout', `${endpoint.name} was not answered`, { cause: error });
      throw error;
    }
  }

  /** Repeats a call until it is answered, refused for good (see `isFinal`) or aborted. */
  async callUntilAnswered<E extends EndpointDefinition>(
    endpoint: E,
    request: EndpointRequest<E>,
    signal: AbortSignal,
  ): Promise<EndpointResponse<E>> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.call(endpoint, request, signal);
      } catch (error) {
        if (signal.aborted || isFinal(error)) throw error;
        await this.deps.clock.sleep(retryDelayMs(attempt), signal);
      }
    }
  }

  /** The source of a build as a tar stream. */
  async openBuildSource(buildId: string, signal: AbortSignal): Promise<Readable> {
    const response = await fetch(new URL(buildSourcePath(buildId), this.url), {
      headers: { authorization: `Bearer ${this.token}` },
      signal: AbortSignal.any([signal, AbortSignal.timeout(SOURCE_TIMEOUT_MS)]),
    });
    if (!response.ok || !response.body) {
      const said = (await response.text()).slice(0, 200);
      throw new PlatformError(
        'unavailable',
        `cannot fetch the source of build ${buildId}: ${response.status} ${said}`,
      );
    }
    // undici's and Node's types of the same web stream differ in name only.
    return Readable.fromWeb(response.body as ReadableStream<Uint8Array>);
  }

  #reached(): void {
    if (this.#away) this.deps.log.info({ url: this.url }, 'the control plane is back');
    this.#away = false;
  }

  #failed(call: string, error: unknown): void {
    if (isFinal(error)) return;
    const fields = { url: this.url, call, reason: errorMessage(error) };
    if (this.#away) this.deps.log.debug(fields, 'the control plane is still away');
    else this.deps.log.warn(fields, 'the control plane is away; instances are kept as last desired');
    this.#away = true;
  }
}

export function isFinal(error: unknown): boolean {
  return error instanceof PlatformError && FINAL.has(error.code);
}
