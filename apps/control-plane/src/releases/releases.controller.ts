import { Controller } from '@nestjs/common';
import { type Deployment, type EndpointInput, type Release, userEndpoints } from '#libs/contract';
import { AppsRepository } from '../apps/apps.repository.ts';
import type { UserActor } from '../auth/actor.ts';
import { Caller, Endpoint, Input } from '../http/endpoint.decorator.ts';
import { ReleasesRepository } from './releases.repository.ts';
import { RolloutService } from './rollout.service.ts';

@Controller()
export class ReleasesController {
  constructor(
    private readonly apps: AppsRepository,
    private readonly releases: ReleasesRepository,
    private readonly rollout: RolloutService,
  ) {}

  @Endpoint(userEndpoints.listReleases)
  async list(
    @Caller() actor: UserActor,
    @Input(userEndpoints.listReleases) { params, query }: EndpointInput<typeof userEndpoints.listReleases>,
  ): Promise<{ items: Release[] }> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return { items: await this.releases.list(app, query.limit) };
  }

  @Endpoint(userEndpoints.rollback)
  async rollback(
    @Caller() actor: UserActor,
    @Input(userEndpoints.rollback) { params, body }: EndpointInput<typeof userEndpoints.rollback>,
  ): Promise<Deployment> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return this.rollout.rollback(app, body.release, actor.user.id);
  }
}
