import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RegistryLimits } from './limits.ts';
import { RegistryError } from './registry-error.ts';

/** One request and its answer. */
export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  query: URLSearchParams;
  limits: RegistryLimits;
}

/** What is read of a body that nobody wants, so that the client gets to read why. */
const MAX_DROPPED_BYTES = 16 << 20;
const MAX_DROP_MS = 5_000;

/** Sends a whole answer. The body is left out for HEAD by Node itself. */
export function send(
  response: ServerResponse,
  status: number,
  headers: Record<string, string | number>,
  body = '',
): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/** The request's body, ended with an error when no byte comes for `idleTimeoutMs`. Leaves the connection open. */
export async function* bodyOf({ request, limits }: Exchange): AsyncGenerator<Buffer> {
  const timer = setTimeout(() => {
    request.destroy(new RegistryError('BLOB_UPLOAD_INVALID', 'the request stands still', { status: 408 }));
  }, limits.idleTimeoutMs);
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      timer.refresh();
      yield chunk;
      timer.refresh(); // our own disk's time is not the client's
    }
  } finally {
    clearTimeout(timer);
  }
}

/** The whole body, at most `maxBytes`; above that `tooLarge` is thrown. */
export async function readBody(
  exchange: Exchange,
  maxBytes: number,
  tooLarge: RegistryError,
): Promise<Buffer> {
  if (Number(exchange.request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of bodyOf(exchange)) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Reads over what is left of a body, within bounds, and closes the connection after the answer. */
export function dropBody(request: IncomingMessage, response: ServerResponse): void {
  if (request.complete || request.destroyed) return;
  response.setHeader('connection', 'close');
  let left = MAX_DROPPED_BYTES;
  const timer = setTimeout(() => request.destroy(), MAX_DROP_MS);
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
  request.on('error', () => {});
  request.on('close', () => clearTimeout(timer));
  request.resume();
}
