import { Controller } from '@nestjs/common';
import { type EndpointInput, type Instance, userEndpoints } from '#libs/contract';
import { AppsRepository } from '../apps/apps.repository.ts';
import type { UserActor } from '../auth/actor.ts';
import { Caller, Endpoint, Input } from '../http/endpoint.decorator.ts';
import { InstancesRepository } from './instances.repository.ts';

@Controller()
export class InstancesController {
  constructor(
    private readonly apps: AppsRepository,
    private readonly instances: InstancesRepository,
  ) {}

  @Endpoint(userEndpoints.listInstances)
  async list(
    @Caller() actor: UserActor,
    @Input(userEndpoints.listInstances) { params }: EndpointInput<typeof userEndpoints.listInstances>,
  ): Promise<{ items: Instance[] }> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return { items: await this.instances.list(app.id) };
  }
}
