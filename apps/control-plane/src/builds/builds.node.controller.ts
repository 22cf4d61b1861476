import { Controller, StreamableFile } from '@nestjs/common';
import { z } from 'zod';
import {
  buildSourcePath,
  type EndpointDefinition,
  type EndpointInput,
  Id,
  nodeEndpoints,
} from '#libs/contract';
import type { NodeActor } from '../auth/actor.ts';
import { Caller, Endpoint, Input } from '../http/endpoint.decorator.ts';
import { BuildLog } from './build-log.ts';
import { BuildResults } from './build-results.ts';
import { BuildSources } from './build-sources.ts';
import { BuildsRepository } from './builds.repository.ts';

/** Not JSON, so it stands outside the contract's table; the path is the contract's. */
const buildSource = {
  name: 'node.build-source',
  method: 'GET',
  path: buildSourcePath(':id') as `/${string}`,
  summary: 'The source of a build as a tar stream',
  audience: 'node',
  params: z.object({ id: Id }),
  response: z.unknown(),
} as const satisfies EndpointDefinition;

/** The agents' side of builds. */
@Controller()
export class NodeBuildsController {
  constructor(
    private readonly builds: BuildsRepository,
    private readonly sources: BuildSources,
    private readonly log: BuildLog,
    private readonly results: BuildResults,
  ) {}

  @Endpoint(buildSource)
  async source(
    @Caller() actor: NodeActor,
    @Input(buildSource) { params }: EndpointInput<typeof buildSource>,
  ): Promise<StreamableFile> {
    const build = await this.builds.requireAssigned(params.id, actor.nodeId);
    const { content, sizeBytes } = await this.sources.open(build.id);
    return new StreamableFile(content, { type: 'application/x-tar', length: sizeBytes });
  }

  @Endpoint(nodeEndpoints.buildLog)
  append(
    @Caller() actor: NodeActor,
    @Input(nodeEndpoints.buildLog) { params, body }: EndpointInput<typeof nodeEndpoints.buildLog>,
  ): Promise<void> {
    return this.log.append(actor.nodeId, params.id, body);
  }

  @Endpoint(nodeEndpoints.buildResult)
  report(
    @Caller() actor: NodeActor,
    @Input(nodeEndpoints.buildResult) { params, body }: EndpointInput<typeof nodeEndpoints.buildResult>,
  ): Promise<void> {
    return this.results.report(actor.nodeId, params.id, body);
  }
}
