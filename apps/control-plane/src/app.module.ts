import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, Reflector } from '@nestjs/core';
import type { Logger } from '#libs/log';
import { AppsController } from './apps/apps.controller.ts';
import { AppsRepository } from './apps/apps.repository.ts';
import { AppsService } from './apps/apps.service.ts';
import { AuthGuard } from './auth/auth.guard.ts';
import { AuthenticationService } from './auth/authentication.service.ts';
import { BootstrapService } from './auth/bootstrap.service.ts';
import { BuildProcessor } from './builds/build.processor.ts';
import { BuildQueue } from './builds/build.queue.ts';
import { BuildLog } from './builds/build-log.ts';
import { BuildResults } from './builds/build-results.ts';
import { BuildRunner } from './builds/build-runner.ts';
import { BuildSources } from './builds/build-sources.ts';
import { BuildsController } from './builds/builds.controller.ts';
import { NodeBuildsController } from './builds/builds.node.controller.ts';
import { BuildsRepository } from './builds/builds.repository.ts';
import { BuildsService } from './builds/builds.service.ts';
import type { ControlPlaneConfig } from './config.ts';
import { PrismaService } from './database/prisma.service.ts';
import { DeploymentsController } from './deployments/deployments.controller.ts';
import { DeploymentsService } from './deployments/deployments.service.ts';
import { ReconcileProcessor } from './deployments/reconcile.processor.ts';
import { ReconcileQueue } from './deployments/reconcile.queue.ts';
import { Reconciler } from './deployments/reconciler.ts';
import { EventBus } from './events/event-bus.ts';
import { GitProcesses } from './git/git-processes.ts';
import { GitRepositories } from './git/git-repositories.ts';
import { DEFAULT_GIT_LIMITS, GIT_LIMITS } from './git/limits.ts';
import { MainPush } from './git/main-push.ts';
import { PushHookServer } from './git/push-hook.server.ts';
import { PushSessions } from './git/push-sessions.ts';
import { PushedReleases } from './git/pushed-releases.ts';
import { PushesService } from './git/pushes.service.ts';
import { ProblemFilter } from './http/problem.filter.ts';
import { StreamInterceptor } from './http/stream.interceptor.ts';
import { InstancesController } from './instances/instances.controller.ts';
import { InstancesRepository } from './instances/instances.repository.ts';
import { LogsController } from './logs/logs.controller.ts';
import { LogsRepository } from './logs/logs.repository.ts';
import { LogsService } from './logs/logs.service.ts';
import { DesiredStateService } from './nodes/desired-state.service.ts';
import { NodeController } from './nodes/node.controller.ts';
import { NodesService } from './nodes/nodes.service.ts';
import { RegistryAccess } from './registry/registry-access.ts';
import { ImagesService } from './releases/images.service.ts';
import { ReleasesController } from './releases/releases.controller.ts';
import { ReleasesRepository } from './releases/releases.repository.ts';
import { RolloutService } from './releases/rollout.service.ts';
import { RouteTableService } from './routers/route-table.service.ts';
import { RouterController } from './routers/router.controller.ts';
import { StatusController } from './status/status.controller.ts';
import { StatusService } from './status/status.service.ts';
import { TokensController } from './tokens/tokens.controller.ts';
import { TokensService } from './tokens/tokens.service.ts';
import { CONFIG, LOGGER } from './tokens.ts';
import { VariablesController } from './variables/variables.controller.ts';
import { VariablesService } from './variables/variables.service.ts';
import { VolumesController } from './volumes/volumes.controller.ts';
import { VolumesService } from './volumes/volumes.service.ts';

const controllers = [
  AppsController,
  BuildsController,
  DeploymentsController,
  InstancesController,
  LogsController,
  NodeBuildsController,
  NodeController,
  ReleasesController,
  RouterController,
  StatusController,
  TokensController,
  VariablesController,
  VolumesController,
];

const services = [
  AppsRepository,
  AppsService,
  AuthenticationService,
  BuildLog,
  BuildProcessor,
  BuildQueue,
  BuildResults,
  BuildRunner,
  BuildSources,
  BuildsRepository,
  BuildsService,
  DeploymentsService,
  DesiredStateService,
  GitProcesses,
  GitRepositories,
  ImagesService,
  InstancesRepository,
  LogsRepository,
  LogsService,
  MainPush,
  NodesService,
  PushHookServer,
  PushSessions,
  PushedReleases,
  PushesService,
  ReconcileProcessor,
  ReconcileQueue,
  Reconciler,
  RegistryAccess,
  ReleasesRepository,
  RolloutService,
  RouteTableService,
  StatusService,
  TokensService,
  VariablesService,
  VolumesService,
];

@Module({})
// biome-ignore lint/complexity/noStaticOnlyClass: a dynamic module is a class with a static factory (NestJS)
export class AppModule {
  static of(config: ControlPlaneConfig, log: Logger): DynamicModule {
    return {
      module: AppModule,
      controllers,
      providers: [
        { provide: CONFIG, useValue: config },
        { provide: LOGGER, useValue: log },
        { provide: GIT_LIMITS, useValue: { ...DEFAULT_GIT_LIMITS } },
        { provide: PrismaService, useFactory: () => new PrismaService(config.databaseUrl) },
        { provide: EventBus, useFactory: () => new EventBus(config.redisUrl, log) },
        {
          provide: BootstrapService,
          useFactory: (prisma: PrismaService) => new BootstrapService(prisma, config),
          inject: [PrismaService],
        },
        { provide: APP_GUARD, useClass: AuthGuard },
        { provide: APP_FILTER, useFactory: () => new ProblemFilter(log) },
        {
          provide: APP_INTERCEPTOR,
          useFactory: (reflector: Reflector) => new StreamInterceptor(reflector),
          inject: [Reflector],
        },
        ...services,
      ],
    };
  }
}
