import { ERROR_CODES, type ErrorCode, errorMessage, PlatformError } from '#libs/errors';
import type { EndpointDefinition, EndpointRequest, EndpointResponse } from './endpoint.ts';
import { Problem } from './resources.ts';

export interface ClientOptions {
  /** Base address of the control plane, e.g. `http://127.0.0.1:8081`. */
  url: string;
  token?: string | undefined;
  fetch?: typeof fetch;
}

export interface CallOptions {
  signal?: AbortSignal;
}

/**
 * Typed client of the endpoint table. Answers are parsed with the endpoint's own schema; problem+json becomes a
 * PlatformError with the same code, a refused connection `unavailable`.
 */
export class Client {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** Calls an endpoint and returns its parsed answer (undefined for 204). */
  async call<E extends EndpointDefinition>(
    endpoint: E,
    request: EndpointRequest<E>,
    options: CallOptions = {},
  ): Promise<EndpointResponse<E>> {
    const response = await this.#send(endpoint, request, options);
    if (!endpoint.response) {
      await response.body?.cancel();
      return undefined as EndpointResponse<E>;
    }
    return endpoint.response.parse(await response.json()) as EndpointResponse<E>;
  }

  /** Calls a streaming endpoint and yields each parsed line until the server ends the stream. */
  async *stream<E extends EndpointDefinition>(
    endpoint: E,
    request: EndpointRequest<E>,
    options: CallOptions = {},
  ): AsyncGenerator<Exclude<EndpointResponse<E>, undefined>> {
    const response = await this.#send(endpoint, request, options);
    const schema = endpoint.response;
    if (!schema || !response.body) return;
    let rest = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line) yield schema.parse(JSON.parse(line)) as Exclude<EndpointResponse<E>, undefined>;
      }
    }
  }

  async #send(endpoint: EndpointDefinition, request: RequestParts, options: CallOptions): Promise<Response> {
    const send = this.#options.fetch ?? fetch;
    const url = new URL(fillPath(endpoint.path, request.params), this.#options.url);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const headers = new Headers({ accept: endpoint.stream ? 'application/x-ndjson' : 'application/json' });
    if (this.#options.token) headers.set('authorization', `Bearer ${this.#options.token}`);
    if (request.body !== undefined) headers.set('content-type', 'application/json');
    let response: Response;
    try {
      response = await send(url, {
        method: endpoint.method,
        headers,
        body: request.body === undefined ? null : JSON.stringify(request.body),
        signal: options.signal ?? null,
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      const cause = error instanceof Error && error.cause ? errorMessage(error.cause) : errorMessage(error);
      throw new PlatformError('unavailable', `cannot reach Gantry at ${url.origin}: ${cause}`, {
        cause: error,
        hint: 'Is the platform up? Try `gantry status`, or start it with `gantry up`.',
      });
    }
    if (response.ok) return response;
    throw await toError(response);
  }
}

interface RequestParts {
  params?: unknown;
  query?: unknown;
  body?: unknown;
}

function fillPath(path: string, params: unknown): string {
  const values = (params ?? {}) as Record<string, unknown>;
  return path.replace(/:([a-z]+)/gi, (_, name: string) => encodeURIComponent(String(values[name])));
}

async function toError(response: Response): Promise<PlatformError> {
  const text = await response.text();
  try {
    const problem = Problem.parse(JSON.parse(text));
    const code = (ERROR_CODES as readonly string[]).includes(problem.code)
      ? (problem.code as ErrorCode)
      : 'internal';
    const extra = {
      details: problem.details ?? {},
      ...(problem.hint === undefined ? {} : { hint: problem.hint }),
    };
    return new PlatformError(code, problem.detail, extra);
  } catch {
    return new PlatformError(
      'internal',
      `${response.url} answered ${response.status}: ${text.slice(0, 200)}`,
    );
  }
}
