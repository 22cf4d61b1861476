import {
  applyDecorators,
  createParamDecorator,
  type ExecutionContext,
  HttpCode,
  RequestMapping,
  RequestMethod,
  SetMetadata,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { EndpointDefinition, EndpointInput } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Actor } from '../auth/actor.ts';

export const ENDPOINT = 'gantry:endpoint';
/** What an answer tells of a body with many mistakes, and of names in it that are long. */
const MAX_PROBLEMS = 20;
const MAX_FIELD = 200;

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the authentication guard. */
    actor?: Actor;
  }
}

/** Binds a handler to an entry of the contract's endpoint table: method, path, audience and permission come from there. */
export function Endpoint(definition: EndpointDefinition): MethodDecorator {
  return applyDecorators(
    SetMetadata(ENDPOINT, definition),
    RequestMapping({ path: definition.path, method: RequestMethod[definition.method] }),
    HttpCode(definition.response ? (definition.method === 'POST' ? 201 : 200) : 204),
  );
}

/** The parsed params, query and body of the endpoint `definition`. Throws `invalid_input` naming each bad field. */
export const Input = createParamDecorator((definition: EndpointDefinition, context: ExecutionContext) => {
  const request = context.switchToHttp().getRequest<FastifyRequest>();
  return parseInput(definition, { params: request.params, query: request.query, body: request.body });
});

/** Who calls. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): Actor => {
  const { actor } = context.switchToHttp().getRequest<FastifyRequest>();
  if (!actor) throw new PlatformError('unauthenticated', 'this endpoint needs a token');
  return actor;
});

/** Aborted when the caller goes away before the answer is complete. */
export const Gone = createParamDecorator((_: unknown, context: ExecutionContext): AbortSignal => {
  const reply = context.switchToHttp().getResponse<FastifyReply>();
  const controller = new AbortController();
  reply.raw.once('close', () => controller.abort(new PlatformError('cancelled', 'the caller went away')));
  return controller.signal;
});

export function parseInput<E extends EndpointDefinition>(
  definition: E,
  given: { params: unknown; query: unknown; body: unknown },
): EndpointInput<E> {
  const schema = z.object({
    params: definition.params ?? z.unknown(),
    query: definition.query ?? z.unknown(),
    body: definition.body ?? z.unknown(),
  });
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data as EndpointInput<E>;
  const problems = parsed.error.issues.slice(0, MAX_PROBLEMS).map((issue) => {
    const field = issue.path.slice(1).join('.') || String(issue.path[0]);
    return { field: field.slice(0, MAX_FIELD), message: issue.message.slice(0, MAX_FIELD) };
  });
  const text = problems.map((problem) => `${problem.field}: ${problem.message}`).join('; ');
  throw new PlatformError('invalid_input', text, { details: { fields: problems } });
}
