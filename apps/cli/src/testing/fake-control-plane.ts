import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { EndpointDefinition, EndpointInput, EndpointResponse } from '#libs/contract';
import { HTTP_STATUS, PlatformError, toPlatformError } from '#libs/errors';

/** Thrown in a handler: the connection breaks there, as when the control plane is killed. */
export class ConnectionBreak extends Error {}

type Line<E extends EndpointDefinition> = Exclude<EndpointResponse<E>, undefined>;
type Handler<E extends EndpointDefinition> = (
  input: EndpointInput<E>,
) => EndpointResponse<E> | Promise<EndpointResponse<E>> | AsyncIterable<Line<E>> | Iterable<Line<E>>;

interface Route {
  endpoint: EndpointDefinition;
  pattern: RegExp;
  answer(request: RawRequest, response: ServerResponse): Promise<void>;
}

interface RawRequest {
  params: Record<string, string>;
  query: Record<string, string>;
  body: unknown;
}

/** A real HTTP server on loopback that answers by the contract: it parses requests and its own answers strictly. */
export class FakeControlPlane {
  /** Calls in the order they came: endpoint, parameters, query and body. */
  readonly calls: ({ name: string } & RawRequest)[] = [];
  readonly token = 'secret-token';
  readonly #routes: Route[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        if (error instanceof ConnectionBreak) response.destroy();
        else sendProblem(response, toPlatformError(error));
      });
    });
  }

  static async start(): Promise<FakeControlPlane> {
    const fake = new FakeControlPlane();
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get port(): number {
    const address = this.#server.address() as AddressInfo;
    return address.port;
  }

  /** Stops serving; running answers break. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Calls of one endpoint. */
  callsOf(endpoint: EndpointDefinition): RawRequest[] {
    return this.calls.filter((call) => call.name === endpoint.name);
  }

  /** Answers an endpoint from now on; what was set before for it no longer holds. */
  on<E extends EndpointDefinition>(endpoint: E, handler: Handler<E>): this {
    const pattern = new RegExp(`^${endpoint.path.replaceAll(/:([a-z]+)/gi, '(?<$1>[^/]+)')}$`);
    const answer = async (request: RawRequest, response: ServerResponse) => {
      const input = {
        params: endpoint.params?.parse(request.params) ?? {},
        query: endpoint.query?.parse(request.query) ?? {},
        body: endpoint.body?.parse(request.body),
      } as EndpointInput<E>;
      const result = await handler(input);
      if (!endpoint.response) return void response.writeHead(204).end();
      if (!endpoint.stream) return sendJson(response, 200, endpoint.response.parse(result));
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.flushHeaders();
      for await (const line of result as AsyncIterable<Line<E>>) {
        if (response.destroyed) return;
        const text = `${JSON.stringify(endpoint.response.parse(line))}\n`;
        await new Promise<void>((resolve) => response.write(text, () => resolve())); // as fast as it is read
      }
      response.end();
    };
    this.#routes.unshift({ endpoint, pattern, answer });
    return this;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const route = this.#routes.find(
      ({ endpoint, pattern }) => endpoint.method === request.method && pattern.test(url.pathname),
    );
    if (request.headers.authorization !== `Bearer ${this.token}`) {
      throw new PlatformError('unauthenticated', 'the token is not valid');
    }
    if (!route) throw new PlatformError('not_found', `no answer set for ${request.method} ${url.pathname}`);
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const groups = route.pattern.exec(url.pathname)?.groups ?? {};
    const params = Object.fromEntries(
      Object.entries(groups).map(([name, value]) => [name, decodeURIComponent(value)]),
    );
    const raw = {
      params,
      query: Object.fromEntries(url.searchParams),
      body: text === '' ? undefined : JSON.parse(text),
    };
    this.calls.push({ name: route.endpoint.name, ...raw });
    await route.answer(raw, response);
  }
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

/** Problem details as the control plane sends them (RFC 9457). */
function sendProblem(response: ServerResponse, error: PlatformError): void {
  if (response.headersSent) return void response.destroy();
  const status = HTTP_STATUS[error.code];
  sendJson(response, status, {
    type: 'about:blank',
    title: error.code,
    status,
    code: error.code,
    detail: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
