import { Controller } from '@nestjs/common';
import { type Build, type EndpointInput, type ProgressEvent, userEndpoints } from '#libs/contract';
import { AppsRepository } from '../apps/apps.repository.ts';
import type { UserActor } from '../auth/actor.ts';
import { Caller, Endpoint, Gone, Input } from '../http/endpoint.decorator.ts';
import { BuildLog } from './build-log.ts';
import { BuildsService } from './builds.service.ts';

@Controller()
export class BuildsController {
  constructor(
    private readonly apps: AppsRepository,
    private readonly builds: BuildsService,
    private readonly log: BuildLog,
  ) {}

  @Endpoint(userEndpoints.listBuilds)
  async list(
    @Caller() actor: UserActor,
    @Input(userEndpoints.listBuilds) { params, query }: EndpointInput<typeof userEndpoints.listBuilds>,
  ): Promise<{ items: Build[] }> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return this.builds.list(app.id, query.limit);
  }

  @Endpoint(userEndpoints.showBuild)
  async show(
    @Caller() actor: UserActor,
    @Input(userEndpoints.showBuild) { params }: EndpointInput<typeof userEndpoints.showBuild>,
  ): Promise<Build> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return this.builds.show(app.id, params.number);
  }

  @Endpoint(userEndpoints.buildLog)
  async follow(
    @Caller() actor: UserActor,
    @Input(userEndpoints.buildLog) { params }: EndpointInput<typeof userEndpoints.buildLog>,
    @Gone() gone: AbortSignal,
  ): Promise<AsyncIterable<ProgressEvent>> {
    const app = await this.apps.require(actor.organization.id, params.app);
    const build = await this.builds.require(app.id, params.number);
    return this.log.follow(build.id, gone);
  }
}
