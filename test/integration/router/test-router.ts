import type { Route, RouteTable } from '#libs/contract';
import { DEFAULT_LIMITS, type Limits } from '../../../apps/router/src/limits.ts';
import type { RequestDone } from '../../../apps/router/src/request-trace.ts';
import { Router } from '../../../apps/router/src/router.ts';

/** An id of the form that the contract wants. */
export const id = (kind: string, number: number): string => `${kind}_${String(number).padStart(20, '0')}`;

export interface TestRoute {
  host: string;
  /** Ports on 127.0.0.1; the instance's id is made from the port. */
  ports: number[];
  state?: Route['state'];
}

/** A route table of apps on this machine. */
export function tableOf(version: number, routes: TestRoute[]): RouteTable {
  return {
    version,
    routes: routes.map(({ host, ports, state = 'serving' }, index) => ({
      host,
      app: { id: id('app', index), slug: `${host.split('.')[0]}-app` },
      service: 'web',
      state,
      targets: ports.map((port) => ({ instance: id('ins', port), host: '127.0.0.1', port })),
    })),
  };
}

export interface RunningRouter {
  router: Router;
  port: number;
  done: RequestDone[];
  stop(): Promise<void>;
}

/** A router in this process, with the limits that a test wants to meet made small. */
export async function startRouter(
  routes: TestRoute[],
  options: { limits?: Partial<Limits>; onLetGo?: () => void } = {},
): Promise<RunningRouter> {
  const done: RequestDone[] = [];
  const router = new Router({
    limits: { ...DEFAULT_LIMITS, lingerMs: 200, drainMs: 200, ...options.limits },
    domain: 'test',
    onLetGo: options.onLetGo,
    onRequestDone: (event) => done.push(event),
  });
  router.routes.apply(tableOf(1, routes));
  const port = await router.listen({ host: '127.0.0.1', port: 0 });
  return { router, port, done, stop: () => router.drain() };
}
