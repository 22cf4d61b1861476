import { Controller } from '@nestjs/common';
import { type Deployment, type EndpointInput, userEndpoints, type Volume } from '#libs/contract';
import { AppsRepository } from '../apps/apps.repository.ts';
import type { UserActor } from '../auth/actor.ts';
import { Caller, Endpoint, Input } from '../http/endpoint.decorator.ts';
import { VolumesService } from './volumes.service.ts';

@Controller()
export class VolumesController {
  constructor(
    private readonly apps: AppsRepository,
    private readonly volumes: VolumesService,
  ) {}

  @Endpoint(userEndpoints.createVolume)
  async create(
    @Caller() actor: UserActor,
    @Input(userEndpoints.createVolume) { params, body }: EndpointInput<typeof userEndpoints.createVolume>,
  ): Promise<{ volume: Volume; deployment: Deployment | null }> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return this.volumes.create(app, body, actor.user.id);
  }

  @Endpoint(userEndpoints.listVolumes)
  async list(
    @Caller() actor: UserActor,
    @Input(userEndpoints.listVolumes) { params }: EndpointInput<typeof userEndpoints.listVolumes>,
  ): Promise<{ items: Volume[] }> {
    return this.volumes.list(await this.apps.require(actor.organization.id, params.app));
  }

  @Endpoint(userEndpoints.destroyVolume)
  async destroy(
    @Caller() actor: UserActor,
    @Input(userEndpoints.destroyVolume) { params }: EndpointInput<typeof userEndpoints.destroyVolume>,
  ): Promise<void> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return this.volumes.destroy(app, params.name, actor.user.id);
  }
}
