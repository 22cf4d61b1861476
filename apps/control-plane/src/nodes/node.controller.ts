import { Controller } from '@nestjs/common';
import {
  type DesiredState,
  type EndpointInput,
  type Node,
  nodeEndpoints,
  userEndpoints,
} from '#libs/contract';
import type { NodeActor } from '../auth/actor.ts';
import { Caller, Endpoint, Gone, Input } from '../http/endpoint.decorator.ts';
import { NodesService } from './nodes.service.ts';

@Controller()
export class NodeController {
  constructor(private readonly nodes: NodesService) {}

  @Endpoint(nodeEndpoints.desiredState)
  desired(
    @Caller() actor: NodeActor,
    @Input(nodeEndpoints.desiredState) { query }: EndpointInput<typeof nodeEndpoints.desiredState>,
    @Gone() gone: AbortSignal,
  ): Promise<DesiredState | null> {
    return this.nodes.waitForDesired(actor.nodeId, query.version, query.waitSeconds, gone);
  }

  @Endpoint(nodeEndpoints.observe)
  observe(
    @Caller() actor: NodeActor,
    @Input(nodeEndpoints.observe) { body }: EndpointInput<typeof nodeEndpoints.observe>,
  ): Promise<void> {
    return this.nodes.observe(actor.nodeId, body);
  }

  @Endpoint(userEndpoints.listNodes)
  list(): Promise<{ items: Node[] }> {
    return this.nodes.list();
  }
}
