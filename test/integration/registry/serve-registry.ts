import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Clock } from '#libs/host';
import { silentLogger } from '#libs/log';
import { type Authorize, createRegistry, DiskBlobStore, type RegistryLimits } from '#libs/registry';

export interface ServedRegistry {
  /** `127.0.0.1:<port>` */
  host: string;
  folder: string;
  /** Ends the server and begins a new one on the same folder, as a restart does. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

interface Options {
  authorize?: Authorize;
  limits?: Partial<RegistryLimits>;
  clock?: Clock;
  /** Where its folder is made; the system's place for temporary files unless told. */
  parent?: string;
}

/** A registry on loopback, with a folder of its own. */
export async function serveRegistry(options: Options = {}): Promise<ServedRegistry> {
  const folder = await mkdtemp(path.join(options.parent ?? tmpdir(), 'gantry-registry-'));
  const listen = async () => {
    const registry = createRegistry({
      folder,
      store: new DiskBlobStore(path.join(folder, 'blobs')),
      authorize: options.authorize ?? (async () => true),
      log: silentLogger(),
      limits: options.limits,
      clock: options.clock,
    });
    const server = createServer((request, response) => void registry.handle(request, response));
    server.requestTimeout = 0;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return server;
  };
  let server = await listen();
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  const served: ServedRegistry = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    folder,
    async restart() {
      await stop();
      server = await listen();
      served.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    async close() {
      await stop();
      await rm(folder, { recursive: true });
    },
  };
  return served;
}

export const PASSWORDS: Record<string, string[]> = { alice: ['alice/app', 'shared/base'], bob: ['bob/app'] };

/** Basic auth where the password is the name of who asks, and who may use the repositories listed above. */
export const authorizeByPassword: Authorize = async ({ authorization, repository }) => {
  const encoded = /^Basic (.+)$/.exec(authorization ?? '')?.[1];
  const password = Buffer.from(encoded ?? '', 'base64')
    .toString()
    .split(':')[1];
  const allowed = PASSWORDS[password ?? ''];
  if (!allowed) return 'unauthenticated';
  return repository === null || allowed.includes(repository);
};
