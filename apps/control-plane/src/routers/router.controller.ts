import { Controller } from '@nestjs/common';
import { type EndpointInput, type RouteTable, routerEndpoints } from '#libs/contract';
import type { RouterActor } from '../auth/actor.ts';
import { Caller, Endpoint, Gone, Input } from '../http/endpoint.decorator.ts';
import { RouteTableService } from './route-table.service.ts';

@Controller()
export class RouterController {
  constructor(private readonly routes: RouteTableService) {}

  @Endpoint(routerEndpoints.sync)
  sync(
    @Caller() actor: RouterActor,
    @Input(routerEndpoints.sync) { query, body }: EndpointInput<typeof routerEndpoints.sync>,
    @Gone() gone: AbortSignal,
  ): Promise<RouteTable | null> {
    return this.routes.sync(actor.routerId, body, query.waitSeconds, gone);
  }
}
