import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, Reflector } from '@nestjs/core';
import type { Logger } from '#libs/log';
import { AppsController } from './apps/apps.controller.ts';
import { AppsRepository } from './apps/apps.repository.ts';
import { AppsService } from './apps/apps.service.ts';
import { AuthGuard } from './auth/auth.guard.ts';
import { AuthenticationService } from './auth/authentication.service.ts';
import { BootstrapService } from './auth/bootstrap.service.ts';
import type { ControlPlaneConfig } from './config.ts';
import { PrismaService } from './database/prisma.service.ts';
import { DeploymentsController } from './deployments/deployments.controller.ts';
import { DeploymentsService } from './deployments/deployments.service.ts';
import { ReconcileProcessor } from './deployments/reconcile.processor.ts';
import { ReconcileQueue } from './deployments/reconcile.queue.ts';
import { Reconciler } from './deployments/reconciler.ts';
import { EventBus } from './events/event-bus.ts';
import { ProblemFilter } from './http/problem.filter.ts';
import { StreamInterceptor } from './http/stream.interceptor.ts';
import { InstancesController } from './instances/instances.controller.ts';
import { InstancesRepository } from './instances/instances.repository.ts';
import { DesiredStateService } from './nodes/desired-state.service.ts';
import { NodeController } from './nodes/node.controller.ts';
import { NodesService } from './nodes/nodes.service.ts';
import { ImagesService } from './releases/images.service.ts';
import { ReleasesController } from './releases/releases.controller.ts';
import { ReleasesRepository } from './releases/releases.repository.ts';
import { RolloutService } from './releases/rollout.service.ts';
import { RouteTableService } from './routers/route-table.service.ts';
import { RouterController } from './routers/router.controller.ts';
import { StatusController } from './status/status.controller.ts';
import { StatusService } from './status/status.service.ts';
import { CONFIG, LOGGER } from './tokens.ts';
import { TokensController } from './tokens/tokens.controller.ts';
import { TokensService } from './tokens/tokens.service.ts';
import { VariablesController } from './variables/variables.controller.ts';
import { VariablesService } from './variables/variables.service.ts';
import { VolumesController } from './volumes/volumes.controller.ts';
import { VolumesService } from './volumes/volumes.service.ts';

const controllers = [
  AppsController,
  DeploymentsController,
  InstancesController,
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
  DeploymentsService,
  DesiredStateService,
  ImagesService,
  InstancesRepository,
  NodesService,
  ReconcileProcessor,
  ReconcileQueue,
  Reconciler,
  ReleasesRepository,
  RolloutService,
  RouteTableService,
  StatusService,
  TokensService,
  VariablesService,
  VolumesService,
];

@Module({})
export class AppModule {
  static of(config: ControlPlaneConfig, log: Logger): DynamicModule {
    return {
      module: AppModule,
      controllers,
      providers: [
        { provide: CONFIG, useValue: config },
        { provide: LOGGER, useValue: log },
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
