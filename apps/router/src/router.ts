import { Connector } from './connector.ts';
import { Deadlines } from './deadlines.ts';
import type { Limits } from './limits.ts';
import type { RequestDone } from './request-trace.ts';
import { RouteMap } from './route-map.ts';
import { type ListenOn, RouterServer } from './router-server.ts';
import { UpgradeProxy } from './upgrade-proxy.ts';

export interface RouterOptions {
  limits: Limits;
  /** The platform's domain; shown on the page for an unknown host. */
  domain: string;
  /** A retired instance's last request has ended. */
  onLetGo?: () => void;
  /** A request has ended; the access log and metrics will hang here. Must not throw. */
  onRequestDone?: (done: RequestDone) => void;
}

/** The parts that serve requests, put together. */
export class Router {
  readonly routes: RouteMap;
  readonly #server: RouterServer;
  readonly #deadlines: Deadlines;
  readonly #limits: Limits;

  constructor({ limits, domain, onLetGo, onRequestDone = () => {} }: RouterOptions) {
    this.#limits = limits;
    this.#deadlines = new Deadlines();
    this.routes = new RouteMap({ limits, deadlines: this.#deadlines }, onLetGo);
    const connector = new Connector({ routes: this.routes, limits, domain });
    const upgrades = new UpgradeProxy(connector, limits);
    this.#server = new RouterServer({
      connector,
      upgrades,
      deadlines: this.#deadlines,
      limits,
      onRequestDone,
    });
  }

  /** Serves; resolves with the port. */
  listen(on: ListenOn): Promise<number> {
    return this.#server.listen(on);
  }

  get connectionCount(): number {
    return this.#server.connectionCount;
  }

  /** Finishes what runs and lets go of everything. */
  async drain(): Promise<void> {
    await this.#server.drain(this.#limits.drainMs);
    this.routes.apply({ version: this.routes.version, routes: [] });
    this.#deadlines.stop();
  }
}
