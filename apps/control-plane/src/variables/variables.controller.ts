import { Controller } from '@nestjs/common';
import { type ConfigMap, type Deployment, type EndpointInput, userEndpoints } from '#libs/contract';
import { AppsRepository } from '../apps/apps.repository.ts';
import type { UserActor } from '../auth/actor.ts';
import { Caller, Endpoint, Input } from '../http/endpoint.decorator.ts';
import { RolloutService } from '../releases/rollout.service.ts';
import { VariablesService } from './variables.service.ts';

@Controller()
export class VariablesController {
  constructor(
    private readonly apps: AppsRepository,
    private readonly variables: VariablesService,
    private readonly rollout: RolloutService,
  ) {}

  @Endpoint(userEndpoints.showConfig)
  async show(
    @Caller() actor: UserActor,
    @Input(userEndpoints.showConfig) { params }: EndpointInput<typeof userEndpoints.showConfig>,
  ): Promise<ConfigMap> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return (await this.variables.latest(app.id)).variables;
  }

  @Endpoint(userEndpoints.changeConfig)
  async change(
    @Caller() actor: UserActor,
    @Input(userEndpoints.changeConfig) { params, body }: EndpointInput<typeof userEndpoints.changeConfig>,
  ): Promise<{ config: ConfigMap; deployment: Deployment | null }> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return this.rollout.changeConfig(app, body, actor.user.id);
  }
}
