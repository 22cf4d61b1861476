import type { Readable } from 'node:stream';
import { Agent, type Dispatcher, request } from 'undici';
import { errorMessage, PlatformError } from '#libs/errors';
import type { Clock } from '#libs/host';
import { assertOutside, lookupOutside, type RegistryReach } from './address-guard.ts';
import { Authenticator, type RegistryAuth } from './authenticator.ts';
import { registryError } from './registry-error.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Until the first byte of an answer: a registry writes a whole blob to disk before it answers. */
const HEADERS_TIMEOUT_MS = 300_000;
/** Between two chunks of an answer. */
const BODY_TIMEOUT_MS = 60_000;
const MAX_REDIRECTS = 5;
const MAX_ATTEMPTS = 4;
const FIRST_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 10_000;
const MAX_TOKEN_BYTES = 256 << 10;

export type Response = Dispatcher.ResponseData;

export interface TransportOptions {
  registry: string;
  auth?: RegistryAuth;
  insecure?: boolean;
  dispatcher?: Dispatcher;
  /** Where requests may go, redirects and token services included; anywhere unless told. */
  reach?: RegistryReach;
  clock: Clock;
}

export interface RegistryRequest {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** Path below the registry, or a whole address that the registry gave. */
  url: string | URL;
  /** Token scope, e.g. `repository:library/debian:pull`. */
  scope: string;
  headers?: Record<string, string>;
  /** Called once for each try. */
  body?: () => Readable | Uint8Array;
  /** Statuses that the caller handles; any other is thrown as a PlatformError. */
  accept: readonly number[];
  /** What is being done, for messages: `image a/b:c`. */
  subject: string;
  /** Tried again after a connection error, 429 and 5xx. */
  repeatable: boolean;
  signal?: AbortSignal;
}

/** Requests to one registry: where it is, credentials, redirects, retries. */
export class Transport {
  readonly base: URL;
  readonly #dispatcher: Dispatcher;
  readonly #ownsDispatcher: boolean;
  readonly #authenticator: Authenticator;

  constructor(private readonly options: TransportOptions) {
    const host = options.registry === 'docker.io' ? 'registry-1.docker.io' : options.registry;
    this.base = new URL(`${options.insecure ? 'http' : 'https'}://${host}/`);
    this.#ownsDispatcher = options.dispatcher === undefined;
    const lookup = options.reach === 'outside' ? { lookup: lookupOutside } : {};
    this.#dispatcher =
      options.dispatcher ?? new Agent({ connect: { timeout: CONNECT_TIMEOUT_MS, ...lookup } });
    this.#authenticator = new Authenticator({
      registry: options.registry,
      auth: options.auth,
      insecure: options.insecure ?? false,
      clock: options.clock,
      fetchToken: (url, authorization) => this.#fetchToken(url, authorization),
    });
  }

  /** Sends a request; the caller reads or dumps the body. Throws PlatformErrors that name the subject. */
  async send(call: RegistryRequest): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      const isLast = !call.repeatable || attempt === MAX_ATTEMPTS;
      let response: Response | undefined;
      try {
        response = await this.#sendAuthenticated(call);
      } catch (error) {
        call.signal?.throwIfAborted();
        if (error instanceof PlatformError) throw error;
        if (isLast) throw this.unreachable(call.subject, error);
      }
      if (response) {
        if (call.accept.includes(response.statusCode)) return response;
        const isTransient = response.statusCode === 429 || response.statusCode >= 500;
        if (isLast || !isTransient) throw await registryError(response, this.options.registry, call.subject);
        await response.body.dump().catch(() => {});
      }
      await this.backOff(attempt, call.signal, response?.headers['retry-after']);
    }
  }

  /** Waits before the next try, as long as the server asked for, within bounds. */
  async backOff(attempt: number, signal?: AbortSignal, retryAfter?: string | string[]): Promise<void> {
    const exponential = FIRST_BACKOFF_MS * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
    const asked =
      typeof retryAfter === 'string' && /^\d{1,4}$/.test(retryAfter) ? Number(retryAfter) * 1000 : 0;
    await this.options.clock.sleep(Math.min(Math.max(exponential, asked), MAX_BACKOFF_MS), signal);
  }

  /** What a failed connection is reported as. */
  unreachable(subject: string, cause: unknown): PlatformError {
    return new PlatformError(
      'unavailable',
      `${subject}: registry ${this.options.registry} failed: ${errorMessage(cause)}`,
      {
        cause,
        hint: 'Check the name of the registry and that this machine can reach it.',
      },
    );
  }

  async close(): Promise<void> {
    if (this.#ownsDispatcher) await this.#dispatcher.destroy();
  }

  async #sendAuthenticated(call: RegistryRequest): Promise<Response> {
    const sent = this.#authenticator.header(call.scope);
    const response = await this.#sendFollowing(call, sent);
    if (response.statusCode !== 401 || call.accept.includes(401)) return response;
    const challenges = [response.headers['www-authenticate'] ?? []].flat();
    const body = await response.body.arrayBuffer().catch(() => undefined);
    if (!(await this.#authenticator.answer(challenges, call.scope, sent))) {
      throw new PlatformError(
        'unauthenticated',
        `${call.subject}: registry ${this.options.registry} asks for other credentials`,
        {
          hint: 'The image may not exist, or it is private: give a user name and password that may use it.',
          details: { answeredBytes: body?.byteLength ?? 0 },
        },
      );
    }
    return this.#sendFollowing(call, this.#authenticator.header(call.scope));
  }

  /** Follows redirects of reads; credentials go to the registry's own origin only. */
  async #sendFollowing(call: RegistryRequest, authorization: string | undefined): Promise<Response> {
    let url = new URL(call.url, this.base);
    for (let redirects = 0; ; redirects++) {
      const response = await this.#sendOnce(call, url, authorization);
      const isRead = call.method === 'GET' || call.method === 'HEAD';
      if (!isRead || ![301, 302, 303, 307, 308].includes(response.statusCode)) return response;
      await response.body.dump().catch(() => {});
      url = this.resolveLocation(response, url, call.subject);
      if (redirects === MAX_REDIRECTS) {
        throw new PlatformError(
          'unavailable',
          `${call.subject}: registry ${this.options.registry} redirects without end`,
        );
      }
    }
  }

  /** The address that a Location header names. Never from https to http. */
  resolveLocation(response: Response, from: URL, subject: string): URL {
    const { location } = response.headers;
    const url =
      typeof location === 'string' && URL.canParse(location, from.href) ? new URL(location, from) : undefined;
    const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && from.protocol === 'http:');
    if (url && isSafe) return url;
    throw new PlatformError(
      'unavailable',
      `${subject}: registry ${this.options.registry} sends elsewhere without a usable address`,
    );
  }

  async #sendOnce(call: RegistryRequest, url: URL, authorization: string | undefined): Promise<Response> {
    if (this.options.reach === 'outside') assertOutside(url);
    const headers: Record<string, string> = { 'user-agent': 'gantry', ...call.headers };
    if (authorization !== undefined && url.origin === this.base.origin) headers.authorization = authorization;
    return request(url, {
      method: call.method,
      headers,
      body: call.body?.() ?? null,
      dispatcher: this.#dispatcher,
      headersTimeout: HEADERS_TIMEOUT_MS,
      bodyTimeout: BODY_TIMEOUT_MS,
      signal: call.signal,
    });
  }

  async #fetchToken(url: URL, authorization: string | undefined): Promise<{ status: number; body: string }> {
    if (this.options.reach === 'outside') assertOutside(url);
    const headers: Record<string, string> = { 'user-agent': 'gantry', accept: 'application/json' };
    if (authorization !== undefined) headers.authorization = authorization;
    const response = await request(url, {
      headers,
      dispatcher: this.#dispatcher,
      headersTimeout: BODY_TIMEOUT_MS,
      bodyTimeout: BODY_TIMEOUT_MS,
    });
    const body = await readLimited(response, MAX_TOKEN_BYTES, 'the answer of a token service');
    return { status: response.statusCode, body: body.toString('utf8') };
  }
}

/** The whole body of an answer. Throws `too_large` above `maxBytes`. */
export async function readLimited(response: Response, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new PlatformError('too_large', `${what} has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
