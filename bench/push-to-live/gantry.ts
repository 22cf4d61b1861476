import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { SourceRepo } from '../../test/e2e/source-repo.ts';
import { ask } from '../../test/e2e/traffic.ts';
import { type Platform, startPlatform } from '../../test/platform.ts';

/** Milliseconds from `git push` to the first answer of the new version, and where they went. */
export interface PushTimes {
  totalMs: number;
  stages: Record<string, number>;
}

const HOST = 'bench.gantry.localhost';

/** An app on a platform of its own, pushed again and again. */
export class GantryBench {
  private constructor(
    private readonly platform: Platform,
    private readonly repo: SourceRepo,
    private readonly folder: string,
  ) {}

  static async start(): Promise<GantryBench> {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'gt-bench-'));
    const platform = await startPlatform();
    const repo = await SourceRepo.create('express', platform.env);
    await platform.cli(['login', '--data', platform.dataDir]);
    await platform.cli(['apps', 'create', 'bench'], { cwd: repo.folder });
    return new GantryBench(platform, repo, folder);
  }

  /** Changes one line, pushes, and waits for the new text on the app's URL. */
  async push(text: string): Promise<PushTimes> {
    await this.repo.write('greeting.txt', text);
    await this.repo.commit(text);
    const startedAt = Date.now();
    const pushed = this.repo.push();
    const live = this.#firstAnswer(text);
    const { code, stderr } = await pushed;
    if (code !== 0) throw new Error(stderr);
    const liveAt = await live;
    const totalMs = liveAt - startedAt;
    return { totalMs, stages: await this.#stages(startedAt, liveAt) };
  }

  async stop(): Promise<void> {
    await this.platform.down();
    await this.repo.remove();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #firstAnswer(text: string): Promise<number> {
    for (;;) {
      const answer = await ask(this.platform.httpPort, HOST).catch(() => undefined);
      if (answer?.status === 200 && answer.body.trim() === text) return Date.now();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async #stages(startedAt: number, liveAt: number): Promise<Record<string, number>> {
    const build = (await this.#newest<BuildTimes>('builds')) ?? missing('build');
    const [started, finished] = [Date.parse(build.startedAt), Date.parse(build.finishedAt)];
    return {
      'git, archive, queue': started - startedAt,
      build: finished - started,
      ...Object.fromEntries(Object.entries(build.timings).map(([name, ms]) => [`  ${name}`, Math.round(ms)])),
      'deploy (place, pull, start, health, route)': liveAt - finished,
    };
  }

  async #newest<T>(verb: string): Promise<T | undefined> {
    const { stdout } = await this.platform.cli([verb, '--json'], { cwd: this.repo.folder });
    return (JSON.parse(stdout) as { items: T[] }).items[0];
  }
}

interface BuildTimes {
  startedAt: string;
  finishedAt: string;
  timings: Record<string, number>;
}

function missing(what: string): never {
  throw new Error(`the platform lists no ${what}`);
}
