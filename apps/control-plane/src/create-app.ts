import path from 'node:path';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from '#libs/log';
import { createRegistry, DiskBlobStore } from '#libs/registry';
import { AppModule } from './app.module.ts';
import { AppsRepository } from './apps/apps.repository.ts';
import { AuthenticationService } from './auth/authentication.service.ts';
import { BootstrapService } from './auth/bootstrap.service.ts';
import type { ControlPlaneConfig } from './config.ts';
import { registerGit } from './git/git.http.ts';
import { GitProcesses } from './git/git-processes.ts';
import { GitRepositories } from './git/git-repositories.ts';
import { GIT_LIMITS } from './git/limits.ts';
import { PushHookServer } from './git/push-hook.server.ts';
import { PushSessions } from './git/push-sessions.ts';
import { limitConnections } from './http/connection-limit.ts';
import { refuseStrangersBodies } from './http/early-authentication.ts';
import { registerRegistry } from './registry/registry.http.ts';
import { RegistryAccess } from './registry/registry-access.ts';

const MAX_JSON_BYTES = 4 * 2 ** 20;
/** Agents, routers, pushes and people who follow logs hold one each. */
const MAX_CONNECTIONS = 4_096;

/** The whole control plane, ready to listen. The database must be migrated. */
export async function createApp(config: ControlPlaneConfig, log: Logger): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({
    bodyLimit: MAX_JSON_BYTES,
    requestTimeout: 0, // pushes, long polls and streams last; their own limits end them
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 512 },
  });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.of(config, log), adapter, {
    logger: false,
    abortOnError: false,
  });
  app.enableShutdownHooks([]);
  limitConnections(app.getHttpServer(), MAX_CONNECTIONS);
  const authentication = app.get(AuthenticationService);
  refuseStrangersBodies(app.getHttpAdapter().getInstance(), (header) => authentication.authenticate(header));
  mountProtocols(app, config, log);
  await app.get(BootstrapService).run();
  return app;
}

/** What is not JSON: git and the registry read and answer their requests themselves. */
function mountProtocols(app: NestFastifyApplication, config: ControlPlaneConfig, log: Logger): void {
  const fastify = app.getHttpAdapter().getInstance();
  const folder = path.join(config.dataDir, 'registry');
  const store = new DiskBlobStore(path.join(folder, 'blobs'));
  const { authorize } = app.get(RegistryAccess);
  registerRegistry(fastify, { registry: createRegistry({ folder, store, authorize, log }) });
  registerGit(fastify, {
    authentication: app.get(AuthenticationService),
    apps: app.get(AppsRepository),
    repositories: app.get(GitRepositories),
    processes: app.get(GitProcesses),
    sessions: app.get(PushSessions),
    hookServer: app.get(PushHookServer),
    limits: app.get(GIT_LIMITS),
    log,
  });
}
