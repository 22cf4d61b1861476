import type { Route, RouteTable } from '#libs/contract';
import { normalizeHost } from './http1/request-head.ts';
import { Target, type TargetServices } from './target.ts';

/** A host's route with its live targets. Never changed: a new table brings new entries. */
export interface RouteEntry {
  route: Route;
  targets: readonly Target[];
}

/**
 * The route table in memory. `apply` swaps the whole of it between two requests; targets that stay keep their
 * connections and counts, those that left are retired and stay `busy` until their last request has ended.
 */
export class RouteMap {
  #entries: ReadonlyMap<string, RouteEntry> = new Map();
  #targets = new Map<string, Target>();
  #version = 0;
  readonly #draining = new Set<Target>();
  readonly #services: TargetServices;
  readonly #onLetGo: () => void;

  /** @param onLetGo called whenever a retired target's last request has ended */
  constructor(services: TargetServices, onLetGo: () => void = () => {}) {
    this.#services = services;
    this.#onLetGo = onLetGo;
  }

  /** Version of the table that is served; 0 before the first. */
  get version(): number {
    return this.#version;
  }

  /** @param host in the form that `normalizeHost` gives */
  find(host: string): RouteEntry | undefined {
    return this.#entries.get(host);
  }

  apply(table: RouteTable): void {
    const targets = new Map<string, Target>();
    const entries = new Map<string, RouteEntry>();
    for (const route of table.routes) {
      const own = route.targets.map((target) => {
        const key = `${target.instance} ${target.host} ${target.port}`;
        const known =
          targets.get(key) ??
          this.#targets.get(key) ??
          new Target(target, this.#services, (t) => this.#letGo(t));
        targets.set(key, known);
        return known;
      });
      entries.set(normalizeHost(route.host), { route, targets: own });
    }
    const before = this.#targets;
    this.#entries = entries;
    this.#targets = targets;
    this.#version = table.version;
    for (const [key, target] of before) {
      if (targets.has(key)) continue;
      target.retire();
      if (target.inFlight > 0) this.#draining.add(target);
    }
  }

  /** Ids of instances that have left the table and still have requests in flight. */
  busy(): string[] {
    const serving = new Set([...this.#targets.values()].map((target) => target.instance));
    const busy = [...this.#draining]
      .map((target) => target.instance)
      .filter((instance) => !serving.has(instance));
    return [...new Set(busy)].sort();
  }

  #letGo(target: Target): void {
    if (this.#draining.delete(target)) this.#onLetGo();
  }
}
