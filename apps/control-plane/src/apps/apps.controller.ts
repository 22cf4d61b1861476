import { Controller } from '@nestjs/common';
import { type App, type EndpointInput, userEndpoints } from '#libs/contract';
import type { UserActor } from '../auth/actor.ts';
import { Caller, Endpoint, Input } from '../http/endpoint.decorator.ts';
import { AppsService } from './apps.service.ts';

@Controller()
export class AppsController {
  constructor(private readonly apps: AppsService) {}

  @Endpoint(userEndpoints.createApp)
  create(
    @Caller() actor: UserActor,
    @Input(userEndpoints.createApp) input: EndpointInput<typeof userEndpoints.createApp>,
  ): Promise<App> {
    return this.apps.create(actor, input.body.slug);
  }

  @Endpoint(userEndpoints.listApps)
  list(@Caller() actor: UserActor): Promise<{ items: App[] }> {
    return this.apps.list(actor);
  }

  @Endpoint(userEndpoints.showApp)
  show(
    @Caller() actor: UserActor,
    @Input(userEndpoints.showApp) input: EndpointInput<typeof userEndpoints.showApp>,
  ): Promise<App> {
    return this.apps.show(actor, input.params.app);
  }

  @Endpoint(userEndpoints.destroyApp)
  destroy(
    @Caller() actor: UserActor,
    @Input(userEndpoints.destroyApp) input: EndpointInput<typeof userEndpoints.destroyApp>,
  ): Promise<void> {
    return this.apps.destroy(actor, input.params.app);
  }

  @Endpoint(userEndpoints.scale)
  scale(
    @Caller() actor: UserActor,
    @Input(userEndpoints.scale) input: EndpointInput<typeof userEndpoints.scale>,
  ): Promise<App> {
    return this.apps.scale(actor, input.params.app, input.body.scale);
  }
}
