import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { errorMessage, PlatformError } from '#libs/errors';
import type { Logger } from '#libs/log';
import { LOGGER } from '../tokens.ts';
import { GitRepositories } from './git-repositories.ts';
import type { GitRepository } from './git-repository.ts';
import { GIT_LIMITS, type GitLimits } from './limits.ts';
import { MainPush } from './main-push.ts';
import type { PushCommand, PushOutcome } from './push-protocol.ts';
import type { PushSession } from './push-sessions.ts';
import { PushedReleases } from './pushed-releases.ts';
import { hintFor, isZero, MAIN_REF, refusalOf } from './refs.ts';

export type Say = (text: string) => void;

/** Decides on every ref of a push: the deploying branch is built and deployed, the rest is left to git. */
@Injectable()
export class PushesService implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #stopping = new AbortController();
  readonly #tasks = new Set<Promise<void>>();

  constructor(
    private readonly repositories: GitRepositories,
    private readonly mainPush: MainPush,
    private readonly releases: PushedReleases,
    @Inject(GIT_LIMITS) private readonly limits: GitLimits,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  /** Picks up where an earlier process stopped: branches follow the releases of pushes that it began. */
  async onApplicationBootstrap(): Promise<void> {
    await this.repositories.prepare(await this.releases.appIds());
    for (const push of await this.releases.interrupted()) {
      this.#inBackground(push.app.slug, () => this.mainPush.resume(push, this.#stopping.signal));
    }
  }

  /**
   * Carries out a push, from git's quarantine having been lifted to the last word of its report. It goes on when
   * nobody listens to `say` any more. Results come in the order of the commands.
   */
  async receive(
    session: PushSession,
    commands: readonly PushCommand[],
    say: Say,
  ): Promise<{ ref: string; outcome: PushOutcome }[]> {
    const repository = await this.repositories.open(session.app.id);
    const outcomes = new Map<PushCommand, PushOutcome>();
    let room = this.limits.refs - (await repository.countRefs(this.limits.refs));
    for (const command of commands.filter(({ ref }) => ref !== MAIN_REF)) {
      const outcome = judgeOther(command, room, this.limits);
      if (outcome.kind === 'git' && isZero(command.old)) room -= 1;
      const hint = outcome.kind === 'git' ? hintFor(command) : undefined;
      if (hint) say(hint);
      outcomes.set(command, outcome);
    }
    const main = commands.find(({ ref }) => ref === MAIN_REF);
    if (main) outcomes.set(main, await this.#receiveMain(session, repository, main, say));
    this.#inBackground(session.app.slug, () => repository.tidy(this.#stopping.signal));
    return commands.map((command) => ({
      ref: command.ref,
      outcome: outcomes.get(command) ?? { kind: 'refused', reason: 'named twice in one push' },
    }));
  }

  async #receiveMain(
    session: PushSession,
    repository: GitRepository,
    command: PushCommand,
    say: Say,
  ): Promise<PushOutcome> {
    const { signal } = this.#stopping;
    try {
      return await this.mainPush.receive({ session, repository, command, say, signal });
    } catch (error) {
      if (signal.aborted) {
        say('The platform is restarting. What was begun goes on: see it with `gantry builds`.');
        return { kind: 'refused', reason: 'platform restarting' };
      }
      if (!(error instanceof PlatformError) || error.code === 'internal') throw error;
      say(error.hint ? `${error.message}. ${error.hint}` : error.message);
      return { kind: 'refused', reason: error.code.replaceAll('_', ' ') };
    }
  }

  #inBackground(slug: string, task: () => Promise<void>): void {
    const running = task()
      .catch((error: unknown) => {
        if (!this.#stopping.signal.aborted)
          this.log.warn({ app: slug, error: errorMessage(error) }, 'after a push');
      })
      .finally(() => this.#tasks.delete(running));
    this.#tasks.add(running);
  }

  async onModuleDestroy(): Promise<void> {
    this.#stopping.abort(new PlatformError('cancelled', 'the platform is stopping'));
    await Promise.all(this.#tasks);
  }
}

function judgeOther(command: PushCommand, room: number, limits: GitLimits): PushOutcome {
  const reason = refusalOf(command, limits);
  if (reason) return { kind: 'refused', reason };
  const adds = isZero(command.old) && !isZero(command.new);
  if (adds && room <= 0) return { kind: 'refused', reason: `more than ${limits.refs} branches and tags` };
  return { kind: 'git' };
}
