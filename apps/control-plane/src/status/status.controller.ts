import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { endpoint, type PlatformStatus, userEndpoints, VERSION } from '#libs/contract';
import type { UserActor } from '../auth/actor.ts';
import { apiUrl, type ControlPlaneConfig } from '../config.ts';
import { Caller, Endpoint } from '../http/endpoint.decorator.ts';
import { openApiDocument } from '../http/openapi.ts';
import { CONFIG } from '../tokens.ts';
import { StatusService } from './status.service.ts';

const health = endpoint({
  name: 'platform.health',
  method: 'GET',
  path: '/healthz',
  summary: 'Answers once the control plane serves',
  audience: 'none',
  response: z.object({ status: z.literal('ok') }),
});
const openApi = endpoint({
  name: 'platform.openapi',
  method: 'GET',
  path: '/openapi.json',
  summary: 'This API as OpenAPI 3.1',
  audience: 'none',
  response: z.unknown(),
});

@Controller()
export class StatusController {
  constructor(
    private readonly status: StatusService,
    @Inject(CONFIG) private readonly config: ControlPlaneConfig,
  ) {}

  @Endpoint(health)
  health(): { status: 'ok' } {
    return { status: 'ok' };
  }

  @Endpoint(openApi)
  openApi(): object {
    return openApiDocument(userEndpoints, { url: apiUrl(this.config), version: VERSION });
  }

  @Endpoint(userEndpoints.status)
  show(@Caller() actor: UserActor): Promise<PlatformStatus> {
    return this.status.show(actor.organization.id);
  }
}
