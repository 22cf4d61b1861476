import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import type { EndpointDefinition } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { ENDPOINT } from '../http/endpoint.decorator.ts';
import { AuthenticationService } from './authentication.service.ts';
import { assertAllowed } from './authorize.ts';

/** Authenticates each request and asks `authorize` whether its endpoint is allowed. A handler without one is refused. */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly authentication: AuthenticationService,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const definition = this.reflector.get<EndpointDefinition | undefined>(ENDPOINT, context.getHandler());
    if (!definition) throw new PlatformError('internal', 'a handler without an endpoint definition');
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    if (definition.audience === 'none') return true;
    // Known already where the request brought a body: see `refuseStrangersBodies`.
    const actor = request.actor ?? (await this.authentication.authenticate(request.headers.authorization));
    assertAllowed(actor, definition);
    if (actor) request.actor = actor;
    return true;
  }
}
