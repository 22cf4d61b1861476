import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, systemClock } from '#libs/host';
import type { Logger } from '#libs/log';
import type { Authorize, RegistryAction } from './authorize.ts';
import { BlobEndpoints } from './blob-endpoints.ts';
import type { BlobStore } from './blob-store.ts';
import { dropBody, type Exchange, send } from './exchange.ts';
import { DEFAULT_REGISTRY_LIMITS, type RegistryLimits } from './limits.ts';
import { ManifestEndpoints } from './manifest-endpoints.ts';
import { RegistryError, toRegistryError } from './registry-error.ts';
import type { RegistryParts } from './registry-parts.ts';
import { RepositoryIndex } from './repository-index.ts';
import { parseRoute, type Route } from './routes.ts';
import { UploadEndpoints } from './upload-endpoints.ts';
import { Uploads } from './uploads.ts';

export interface RegistryOptions {
  /** Folder for tags, links and uploads, e.g. `<data>/registry`. A DiskBlobStore may live in `<folder>/blobs`. */
  folder: string;
  store: BlobStore;
  authorize: Authorize;
  log: Logger;
  limits?: Partial<RegistryLimits>;
  clock?: Clock;
}

export interface Registry {
  /** Serves one request below `/v2/`, to its end. Never throws: failures are logged and answered. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/**
 * An OCI registry (distribution spec 1.1) as a handler for Node's http server: push, pull, delete, tags, referrers, in
 * OCI and Docker formats. A blob belongs to the repositories that it was pushed to or mounted in, and can be read there
 * only. One process owns the folder. Give the server a `requestTimeout` of 0: a large upload takes its time, and
 * `idleTimeoutMs` ends those that stand still.
 */
export function createRegistry(options: RegistryOptions): Registry {
  const { folder, store, authorize, log } = options;
  const limits = { ...DEFAULT_REGISTRY_LIMITS, ...options.limits };
  const index = new RepositoryIndex(folder);
  const uploads = new Uploads({ folder, limits, clock: options.clock ?? systemClock });
  const parts = { store, index, uploads, limits, authorize };
  const handlers = handlersOf(parts);
  uploads
    .open()
    .catch((error: unknown) => log.error({ err: error }, 'uploads of an earlier run cannot be read'));

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { route, query } = parseRoute(request.url ?? '/');
    const method = request.method ?? 'GET';
    const handler = handlers[route.kind][method];
    if (!handler) {
      const allow = Object.keys(handlers[route.kind]).join(', ');
      throw new RegistryError('UNSUPPORTED', `${method} is not possible here`, { headers: { allow } });
    }
    const repository = route.kind === 'base' ? null : route.repository;
    const allowed = await authorize({
      authorization: request.headers.authorization,
      repository,
      action: actionOf(method, route),
    });
    if (allowed === 'unauthenticated') throw unauthenticated();
    if (!allowed) throw new RegistryError('DENIED', `you may not do this in repository ${repository ?? '/'}`);
    await handler({ request, response, query, limits }, route);
  }

  return {
    async handle(request, response) {
      response.setHeader('docker-distribution-api-version', 'registry/2.0');
      try {
        await respond(request, response);
      } catch (error) {
        const failure = toRegistryError(error);
        const facts = { method: request.method, url: request.url, status: failure.status };
        if (failure.status >= 500)
          log.error({ ...facts, err: failure.cause ?? failure }, 'registry request failed');
        else log.debug({ ...facts, reason: failure.message }, 'registry request refused');
        refuse(request, response, failure);
      }
    },
  };
}

/** Serves one method of one kind of route. */
type Handlers = { [K in Route['kind']]: Record<string, Handler> };
type Handler = (exchange: Exchange, route: Route) => Promise<void>;

function handlersOf(parts: RegistryParts): Handlers {
  const manifests = new ManifestEndpoints(parts);
  const blobs = new BlobEndpoints(parts);
  const uploads = new UploadEndpoints(parts);
  const on = <K extends Route['kind']>(
    kind: K,
    handle: (exchange: Exchange, route: Extract<Route, { kind: K }>) => Promise<void>,
  ): Handler => {
    const isMine = (route: Route): route is Extract<Route, { kind: K }> => route.kind === kind;
    return async (exchange, route) => {
      if (isMine(route)) await handle(exchange, route);
    };
  };
  const getBase = on('base', async ({ response }) =>
    send(response, 200, { 'content-type': 'application/json' }, '{}'),
  );
  const getManifest = on('manifest', (exchange, route) => manifests.get(exchange, route));
  const getBlob = on('blob', (exchange, route) => blobs.get(exchange, route));
  return {
    base: { GET: getBase, HEAD: getBase },
    manifest: {
      GET: getManifest,
      HEAD: getManifest,
      PUT: on('manifest', (exchange, route) => manifests.put(exchange, route)),
      DELETE: on('manifest', (exchange, route) => manifests.delete(exchange, route)),
    },
    blob: {
      GET: getBlob,
      HEAD: getBlob,
      DELETE: on('blob', (exchange, route) => blobs.delete(exchange, route)),
    },
    uploads: { POST: on('uploads', (exchange, route) => uploads.begin(exchange, route)) },
    upload: {
      GET: on('upload', (exchange, route) => uploads.status(exchange, route)),
      PATCH: on('upload', (exchange, route) => uploads.append(exchange, route)),
      PUT: on('upload', (exchange, route) => uploads.complete(exchange, route)),
      DELETE: on('upload', (exchange, route) => uploads.cancel(exchange, route)),
    },
    tags: { GET: on('tags', (exchange, route) => manifests.tags(exchange, route)) },
    referrers: { GET: on('referrers', (exchange, route) => manifests.referrers(exchange, route)) },
  };
}

function actionOf(method: string, route: Route): RegistryAction {
  if (route.kind === 'upload' || route.kind === 'uploads') return 'push';
  if (method === 'GET' || method === 'HEAD') return 'pull';
  return method === 'DELETE' ? 'delete' : 'push';
}

function unauthenticated(): RegistryError {
  return new RegistryError('UNAUTHORIZED', 'log in with any user name and a platform token as the password', {
    headers: { 'www-authenticate': 'Basic realm="gantry"' },
  });
}

function refuse(request: IncomingMessage, response: ServerResponse, failure: RegistryError): void {
  if (response.headersSent) {
    response.destroy(); // a cut body is the only way left to say that it is not whole
    return;
  }
  dropBody(request, response);
  send(
    response,
    failure.status,
    { ...failure.headers, 'content-type': 'application/json' },
    failure.toJson(),
  );
}
