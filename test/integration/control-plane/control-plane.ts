import { mkdir } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Client } from '#libs/contract';
import { silentLogger } from '#libs/log';
import { createApp } from '../../../apps/control-plane/src/create-app.ts';
import { startServices, type TestServices } from '../services.ts';

export interface TestControlPlane {
  app: NestFastifyApplication;
  url: string;
  tokens: { admin: string; node: string; router: string };
  user: Client;
  node: Client;
  router: Client;
  services: TestServices;
  /** Ends the control plane and starts another on the same data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const TOKENS = {
  admin: 'admin-'.padEnd(40, 'x'),
  node: 'node-'.padEnd(40, 'x'),
  router: 'router-'.padEnd(40, 'x'),
};

/** The real control plane in this process, on real PostgreSQL and Redis. */
export async function startControlPlane(): Promise<TestControlPlane> {
  const services = await startServices();
  const dataDir = path.join(services.folder, 'data');
  await mkdir(dataDir, { mode: 0o711 });
  const boot = async (port: number): Promise<NestFastifyApplication> => {
    const app = await createApp(
      {
        databaseUrl: services.databaseUrl,
        redisUrl: services.redisUrl,
        dataDir,
        apiHost: '127.0.0.1',
        apiPort: port,
        domain: 'gantry.localhost',
        httpPort: 8080,
        adminToken: TOKENS.admin,
        nodeToken: TOKENS.node,
        routerToken: TOKENS.router,
        masterKey: Buffer.alloc(32, 7),
        logLevel: 'error',
      },
      silentLogger(),
    );
    await app.listen(port, '127.0.0.1');
    return app;
  };
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const plane: TestControlPlane = {
    app: await boot(port),
    url,
    tokens: TOKENS,
    user: new Client({ url, token: TOKENS.admin }),
    node: new Client({ url, token: TOKENS.node }),
    router: new Client({ url, token: TOKENS.router }),
    services,
    async restart() {
      await plane.app.close();
      plane.app = await boot(port);
    },
    async stop() {
      await plane.app.close();
      await services.stop();
    },
  };
  return plane;
}

async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
