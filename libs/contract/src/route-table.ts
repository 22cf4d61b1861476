import { z } from 'zod';
import { AppSlug, Id, ServiceName } from './names.ts';

export const RouteTarget = z.object({ instance: Id, host: z.string(), port: z.number().int() });

/** One host name and the instances that serve it. With no targets the router answers 503, explained by `state`. */
export const Route = z.object({
  host: z.string(),
  app: z.object({ id: Id, slug: AppSlug }),
  service: ServiceName,
  targets: z.array(RouteTarget),
  state: z.enum(['serving', 'empty', 'deploying', 'crashed', 'stopped']),
});

/** The whole of what a router serves. A router keeps the last one on disk and serves it without the control plane. */
export const RouteTable = z.object({ version: z.number().int(), routes: z.array(Route) });

/**
 * A router's side of the exchange: the version it serves, and which instances that have left its table still have
 * requests in flight. An old instance is stopped when every live router has let go of it.
 */
export const RouterReport = z.object({
  router: z.string(),
  appliedVersion: z.number().int(),
  busy: z.array(Id),
});

export type RouteTarget = z.infer<typeof RouteTarget>;
export type Route = z.infer<typeof Route>;
export type RouteTable = z.infer<typeof RouteTable>;
export type RouterReport = z.infer<typeof RouterReport>;
