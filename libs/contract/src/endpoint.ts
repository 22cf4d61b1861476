import { z } from 'zod';

/**
 * Who may call: `none` anyone, `user` a person's token, `node` an agent's credential, `router` a router's.
 * What a user may do to which resource is decided by `permission`, in one place of the control plane.
 */
export type Audience = 'none' | 'user' | 'node' | 'router';
export type Permission = 'read' | 'deploy' | 'configure' | 'destroy' | 'operate';

export interface EndpointDefinition {
  /** `<resource>.<verb>`; also the operationId in OpenAPI. */
  name: string;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With `:name` parameters. */
  path: `/${string}`;
  summary: string;
  audience: Audience;
  permission?: Permission;
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** JSON of a plain answer; with `stream: true`, of each line (newline-delimited JSON). Nothing means 204. */
  response?: z.ZodType;
  stream?: boolean;
}

type Parsed<T> = T extends z.ZodType ? z.output<T> : Record<string, never>;
type Given<T> = T extends z.ZodType ? z.input<T> : undefined;

/** What a handler gets: every part parsed. */
export interface EndpointInput<E extends EndpointDefinition> {
  params: Parsed<E['params']>;
  query: Parsed<E['query']>;
  body: Parsed<E['body']>;
}

/** What a caller gives: parts that the endpoint does not declare are left out. */
export type EndpointRequest<E extends EndpointDefinition> = (E['params'] extends z.ZodType
  ? { params: Given<E['params']> }
  : { params?: undefined }) &
  (E['query'] extends z.ZodType ? { query?: Given<E['query']> } : { query?: undefined }) &
  (E['body'] extends z.ZodType ? { body: Given<E['body']> } : { body?: undefined });

export type EndpointResponse<E extends EndpointDefinition> = E['response'] extends z.ZodType
  ? z.output<E['response']>
  : undefined;

/** Keeps the literal types of a definition. */
export function endpoint<const E extends EndpointDefinition>(definition: E): E {
  return definition;
}
