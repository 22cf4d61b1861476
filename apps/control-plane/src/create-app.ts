import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from '#libs/log';
import { AppModule } from './app.module.ts';
import { BootstrapService } from './auth/bootstrap.service.ts';
import type { ControlPlaneConfig } from './config.ts';

const MAX_JSON_BYTES = 4 * 2 ** 20;

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
  await app.get(BootstrapService).run();
  return app;
}
