import { Controller } from '@nestjs/common';
import { type Deployment, type EndpointInput, type ProgressEvent, userEndpoints } from '#libs/contract';
import { AppsRepository } from '../apps/apps.repository.ts';
import type { UserActor } from '../auth/actor.ts';
import { Caller, Endpoint, Gone, Input } from '../http/endpoint.decorator.ts';
import { RolloutService } from '../releases/rollout.service.ts';
import { DeploymentsService } from './deployments.service.ts';

@Controller()
export class DeploymentsController {
  constructor(
    private readonly apps: AppsRepository,
    private readonly deployments: DeploymentsService,
    private readonly rollout: RolloutService,
  ) {}

  @Endpoint(userEndpoints.createDeployment)
  async create(
    @Caller() actor: UserActor,
    @Input(userEndpoints.createDeployment) {
      params,
      body,
    }: EndpointInput<typeof userEndpoints.createDeployment>,
  ): Promise<Deployment> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return this.rollout.releaseImage(app, body.image, actor);
  }

  @Endpoint(userEndpoints.listDeployments)
  async list(
    @Caller() actor: UserActor,
    @Input(userEndpoints.listDeployments) {
      params,
      query,
    }: EndpointInput<typeof userEndpoints.listDeployments>,
  ): Promise<{ items: Deployment[] }> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return this.deployments.list(app.id, query.limit);
  }

  @Endpoint(userEndpoints.showDeployment)
  async show(
    @Caller() actor: UserActor,
    @Input(userEndpoints.showDeployment) { params }: EndpointInput<typeof userEndpoints.showDeployment>,
  ): Promise<Deployment> {
    const app = await this.apps.require(actor.organization.id, params.app);
    return this.deployments.show(app.id, params.id);
  }

  @Endpoint(userEndpoints.watchDeployment)
  async watch(
    @Caller() actor: UserActor,
    @Input(userEndpoints.watchDeployment) { params }: EndpointInput<typeof userEndpoints.watchDeployment>,
    @Gone() gone: AbortSignal,
  ): Promise<AsyncIterable<ProgressEvent>> {
    const app = await this.apps.require(actor.organization.id, params.app);
    const { id } = await this.deployments.show(app.id, params.id);
    return this.deployments.watch(id, gone);
  }
}
