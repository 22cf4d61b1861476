import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { z } from 'zod';
import {
  type BuildResult,
  buildSourcePath,
  type DesiredState,
  type InstanceLogBatch,
  nodeEndpoints,
  type ObservedInstance,
  type ObservedState,
} from '#libs/contract';

export const NODE_TOKEN = 'node-token';
type LogLine = InstanceLogBatch['entries'][number] & { instance: string };

/** The agents' side of a control plane over real HTTP, with everything it was told kept for tests to look at. */
export class FakeControlPlane {
  readonly observed: ObservedState[] = [];
  readonly logs: LogLine[] = [];
  readonly buildLogs = new Map<string, string[]>();
  readonly buildResults = new Map<string, BuildResult>();
  readonly buildSources = new Map<string, Buffer>();
  requests = 0;
  /** Answers what is not an agent's endpoint, a registry's paths for example; false when it does not want to. */
  serveOther: (url: URL, response: ServerResponse) => boolean = () => false;
  #desired: DesiredState = { version: 0, instances: [], builds: [], volumes: [] };
  #server: Server | undefined;
  #port = 0;
  #changed = Promise.withResolvers<void>();

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts to answer; after `down`, on the same port. */
  async up(): Promise<void> {
    this.#server = createServer((request, response) => {
      this.requests += 1;
      this.#answer(request, response).catch((error: unknown) => {
        response.statusCode = 500;
        response.end(String(error));
      });
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    this.#notify();
    await closed;
  }

  /** Wants something else from now on; its version grows by itself. */
  want(change: Partial<Omit<DesiredState, 'version'>>): void {
    this.#desired = { ...this.#desired, ...change, version: this.#desired.version + 1 };
    this.#notify();
  }

  get version(): number {
    return this.#desired.version;
  }

  /** What was last reported of an instance. */
  instance(id: string): ObservedInstance | undefined {
    return this.observed.at(-1)?.instances.find((instance) => instance.id === id);
  }

  /** Resolves with what `look` gives once that is not undefined; looks after everything the agent says. */
  async until<T>(look: () => T | undefined, timeoutMs = 10_000): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const seen = look();
      if (seen !== undefined) return seen;
      const leftMs = deadline - Date.now();
      if (leftMs <= 0)
        throw new Error(`not seen in ${timeoutMs} ms; last report: ${JSON.stringify(this.observed.at(-1))}`);
      const timer = Promise.withResolvers<void>();
      const timeout = setTimeout(timer.resolve, Math.min(leftMs, 50));
      await Promise.race([this.#changed.promise, timer.promise]);
      clearTimeout(timeout);
    }
  }

  /** Resolves once an instance is reported in this state. */
  async untilState(
    id: string,
    state: ObservedInstance['state'],
    timeoutMs?: number,
  ): Promise<ObservedInstance> {
    return await this.until(() => {
      const instance = this.instance(id);
      return instance?.state === state ? instance : undefined;
    }, timeoutMs);
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers.authorization !== `Bearer ${NODE_TOKEN}`) {
      response.statusCode = 401;
      response.end(
        JSON.stringify({ type: '', title: '', status: 401, code: 'unauthenticated', detail: 'who are you' }),
      );
      return;
    }
    const url = new URL(request.url ?? '/', this.url);
    const build = /^\/node\/v1\/builds\/([^/]+)\//.exec(url.pathname)?.[1];
    if (url.pathname === nodeEndpoints.desiredState.path) return await this.#answerDesired(url, response);
    if (build && url.pathname === buildSourcePath(build)) {
      response.end(this.buildSources.get(build) ?? Buffer.alloc(0));
      return;
    }
    if (this.serveOther(url, response)) return;
    const body: unknown = JSON.parse(await readBody(request));
    this.#take(url.pathname, build, body);
    response.statusCode = 204;
    response.end();
    this.#notify();
  }

  #take(path: string, build: string | undefined, body: unknown): void {
    const parse = <T extends z.ZodType>(schema: T): z.output<T> => schema.parse(body);
    if (path === nodeEndpoints.observe.path) {
      this.observed.push(parse(nodeEndpoints.observe.body));
    } else if (path === nodeEndpoints.instanceLogs.path) {
      for (const { instance, entries } of parse(nodeEndpoints.instanceLogs.body).batches) {
        for (const entry of entries) this.logs.push({ ...entry, instance });
      }
    } else if (build && path.endsWith('/log')) {
      const { offset, lines } = parse(nodeEndpoints.buildLog.body);
      const known = this.buildLogs.get(build) ?? [];
      this.buildLogs.set(build, [...known.slice(0, offset), ...lines]);
    } else if (build && path.endsWith('/result')) {
      this.buildResults.set(build, parse(nodeEndpoints.buildResult.body));
    }
  }

  async #answerDesired(url: URL, response: ServerResponse): Promise<void> {
    const version = Number(url.searchParams.get('version'));
    const deadline = Date.now() + Number(url.searchParams.get('waitSeconds')) * 1000;
    while (version === this.#desired.version && Date.now() < deadline && this.#server) {
      const timer = Promise.withResolvers<void>();
      const timeout = setTimeout(timer.resolve, deadline - Date.now());
      await Promise.race([this.#changed.promise, timer.promise]);
      clearTimeout(timeout);
    }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(version === this.#desired.version ? null : this.#desired));
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
