import { Controller } from '@nestjs/common';
import { type EndpointInput, type Identity, type Token, userEndpoints } from '#libs/contract';
import type { UserActor } from '../auth/actor.ts';
import { Caller, Endpoint, Input } from '../http/endpoint.decorator.ts';
import { TokensService } from './tokens.service.ts';

@Controller()
export class TokensController {
  constructor(private readonly tokens: TokensService) {}

  @Endpoint(userEndpoints.identity)
  identity(@Caller() { user, organization, role }: UserActor): Identity {
    return { user: { id: user.id, name: user.name }, organization, role, operator: user.operator };
  }

  @Endpoint(userEndpoints.createToken)
  create(
    @Caller() actor: UserActor,
    @Input(userEndpoints.createToken) { body }: EndpointInput<typeof userEndpoints.createToken>,
  ): Promise<Token & { secret: string }> {
    return this.tokens.create(actor, body.name);
  }

  @Endpoint(userEndpoints.listTokens)
  list(@Caller() actor: UserActor): Promise<{ items: Token[] }> {
    return this.tokens.list(actor);
  }

  @Endpoint(userEndpoints.revokeToken)
  revoke(
    @Caller() actor: UserActor,
    @Input(userEndpoints.revokeToken) { params }: EndpointInput<typeof userEndpoints.revokeToken>,
  ): Promise<void> {
    return this.tokens.revoke(actor, params.id);
  }
}
