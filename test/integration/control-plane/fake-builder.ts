import {
  type BuildResult,
  buildSourcePath,
  type Client,
  type DesiredBuild,
  nodeEndpoints,
} from '#libs/contract';
import type { FakeNode } from './fake-node.ts';

export interface FakeBuild {
  desired: DesiredBuild;
  /** The tar that the platform hands out. */
  source: Buffer;
  say(...lines: string[]): Promise<void>;
}

export const DIGEST = `sha256:${'ab'.repeat(32)}`;
export const SUCCEEDED: BuildResult = {
  status: 'succeeded',
  digest: DIGEST,
  services: [{ name: 'web', argv: ['node', 'server.js'] }],
  timings: { build: 1 },
};

const LOOK_MS = 10;

/** Stands in for an agent's builder: takes each desired build once, fetches its source, and reports what `behaviour` gives. */
export class FakeBuilder {
  readonly builds: FakeBuild[] = [];
  #stopped = false;
  #done: Promise<void> | undefined;

  constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly client: Client,
    private readonly node: FakeNode,
    public behaviour: (build: FakeBuild) => Promise<BuildResult> = async () => SUCCEEDED,
  ) {}

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    const seen = new Set<string>();
    const running = new Set<Promise<void>>();
    while (!this.#stopped) {
      for (const build of this.node.desired?.builds ?? []) {
        if (seen.has(build.id)) continue;
        seen.add(build.id);
        const task: Promise<void> = this.#build(build).finally(() => running.delete(task));
        running.add(task);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    await Promise.all(running);
  }

  async #build(desired: DesiredBuild): Promise<void> {
    const response = await fetch(this.url + buildSourcePath(desired.id), {
      headers: { authorization: `Bearer ${this.token}` },
    });
    const source = Buffer.from(await response.arrayBuffer());
    let offset = 0;
    const params = { id: desired.id };
    const say = async (...lines: string[]) => {
      await this.client.call(nodeEndpoints.buildLog, { params, body: { offset, lines } });
      offset += lines.length;
    };
    const build = { desired, source, say };
    this.builds.push(build);
    await this.client.call(nodeEndpoints.buildResult, { params, body: await this.behaviour(build) });
  }
}
