import {
  type Client,
  type DesiredState,
  nodeEndpoints,
  type ObservedInstance,
  type RouteTable,
  routerEndpoints,
} from '#libs/contract';

type Behaviour = (instance: DesiredState['instances'][number]) => Partial<ObservedInstance>;

/** Stands in for an agent: whatever is desired is observed at once, as `behaviour` says. Long polls like the real one. */
export class FakeNode {
  desired: DesiredState | undefined;
  #stop = new AbortController();
  #done: Promise<void> | undefined;

  constructor(
    private readonly client: Client,
    public behaviour: Behaviour = () => ({}),
  ) {}

  start(): void {
    this.#done = this.#run();
  }

  async report(): Promise<void> {
    await this.client.call(nodeEndpoints.observe, {
      body: {
        name: 'fake',
        version: 'test',
        capacity: { memoryBytes: 8 * 2 ** 30, cpus: 2 },
        desiredVersion: this.desired?.version ?? -1,
        instances: (this.desired?.instances ?? []).map(
          (instance): ObservedInstance => ({
            id: instance.id,
            generation: instance.generation,
            state: 'healthy',
            address: { host: '127.0.0.1', port: 9 },
            restarts: 0,
            lastExit: null,
            message: null,
            startedAt: '2026-01-01T00:00:00Z',
            ...this.behaviour(instance),
          }),
        ),
      },
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.report();
        const query = { version: this.desired?.version ?? -1, waitSeconds: 5 };
        this.desired =
          (await this.client.call(nodeEndpoints.desiredState, { query }, { signal })) ?? this.desired;
      } catch {
        if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}

/** Stands in for a router: takes each table and says that it serves it; `busy` are instances it still holds on to. */
export class FakeRouter {
  table: RouteTable | undefined;
  busy: string[] = [];
  #stop = new AbortController();
  #done: Promise<void> | undefined;

  constructor(private readonly client: Client) {}

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const body = { router: 'fake', appliedVersion: this.table?.version ?? -1, busy: this.busy };
        this.table =
          (await this.client.call(routerEndpoints.sync, { query: { waitSeconds: 1 }, body }, { signal })) ??
          this.table;
      } catch {
        if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}
