import { Controller } from '@nestjs/common';
import { type EndpointInput, type LogEntry, nodeEndpoints, userEndpoints } from '#libs/contract';
import { AppsRepository } from '../apps/apps.repository.ts';
import type { NodeActor, UserActor } from '../auth/actor.ts';
import { Caller, Endpoint, Gone, Input } from '../http/endpoint.decorator.ts';
import { LogsService } from './logs.service.ts';

@Controller()
export class LogsController {
  constructor(
    private readonly apps: AppsRepository,
    private readonly logs: LogsService,
  ) {}

  @Endpoint(nodeEndpoints.instanceLogs)
  ingest(
    @Caller() actor: NodeActor,
    @Input(nodeEndpoints.instanceLogs) { body }: EndpointInput<typeof nodeEndpoints.instanceLogs>,
  ): Promise<void> {
    return this.logs.ingest(actor.nodeId, body.batches);
  }

  @Endpoint(userEndpoints.logs)
  async read(
    @Caller() actor: UserActor,
    @Input(userEndpoints.logs) { params, query }: EndpointInput<typeof userEndpoints.logs>,
    @Gone() gone: AbortSignal,
  ): Promise<AsyncIterable<LogEntry>> {
    const app = await this.apps.require(actor.organization.id, params.app);
    const { since, ...rest } = query;
    return this.logs.read(
      app.id,
      { ...rest, ...(since === undefined ? {} : { since: new Date(since) }) },
      gone,
    );
  }
}
