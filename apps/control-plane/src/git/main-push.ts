import { Inject, Injectable } from '@nestjs/common';
import type { ProgressEvent } from '#libs/contract';
import { BuildLog } from '../builds/build-log.ts';
import { BuildsRepository } from '../builds/builds.repository.ts';
import { BuildsService } from '../builds/builds.service.ts';
import { appUrl, type ControlPlaneConfig } from '../config.ts';
import { DeploymentsService } from '../deployments/deployments.service.ts';
import { CONFIG } from '../tokens.ts';
import { GitRepositories } from './git-repositories.ts';
import type { GitRepository } from './git-repository.ts';
import type { PushCommand, PushOutcome } from './push-protocol.ts';
import type { PushSession } from './push-sessions.ts';
import { type InterruptedPush, PushedReleases } from './pushed-releases.ts';
import type { Say } from './pushes.service.ts';
import { isZero, judgeMain } from './refs.ts';
import { Turns } from './turns.ts';

interface MainPushRequest {
  session: PushSession;
  repository: GitRepository;
  command: PushCommand;
  say: Say;
  signal: AbortSignal;
}

type Ending = { release: number } | { failed: string };

const refused = (reason: string): PushOutcome => ({ kind: 'refused', reason });

/** A push of the deploying branch: build, deploy, and only then move the branch. */
@Injectable()
export class MainPush {
  readonly #turns = new Turns();

  constructor(
    private readonly repositories: GitRepositories,
    private readonly builds: BuildsService,
    private readonly buildRows: BuildsRepository,
    private readonly buildLog: BuildLog,
    private readonly deployments: DeploymentsService,
    private readonly releases: PushedReleases,
    @Inject(CONFIG) private readonly config: ControlPlaneConfig,
  ) {}

  /** Throws PlatformErrors that the pusher can read, and the signal's reason when the platform stops. */
  async receive(push: MainPushRequest): Promise<PushOutcome> {
    const { session, repository, command, say, signal } = push;
    if (isZero(command.new)) {
      say(
        `main is what ${session.app.slug} runs, so it stays. To remove the app: gantry apps destroy ${session.app.slug}`,
      );
      return refused('main cannot be deleted');
    }
    if (!(await repository.isCommit(command.new))) return refused('not a commit');
    const onWait = (what: string) => say(`Waiting for ${what} of this app …`);
    const turn = await this.#turns.take(session.app.id, { onWait, signal });
    try {
      const current = await repository.main();
      const descends = current !== undefined && (await repository.descends(command.new, current));
      const seen = isZero(command.old) ? undefined : command.old;
      const verdict = judgeMain({ seen, wanted: command.new, current, descends });
      if (verdict === 'same') return this.#sayUrl(session, say, 'is deployed already');
      if (verdict === 'stale') {
        say('While this push waited, another one moved main. Fetch it, merge or rebase, and push again.');
        return refused('stale: main has moved');
      }
      return await this.#deploy(push, current, (what) => turn.announce(what));
    } finally {
      turn.end();
    }
  }

  /**
   * Goes on with what a push began before the platform stopped: waits for the deployment and moves the branch if that
   * only adds to it. A forced push is not finished this way; it failed visibly and can be repeated.
   */
  async resume(push: InterruptedPush, signal: AbortSignal): Promise<void> {
    const repository = await this.repositories.find(push.app.id);
    if (!repository) return;
    const turn = await this.#turns.take(push.app.id, { onWait: () => {}, signal });
    try {
      turn.announce(`build #${push.build.number}`);
      if ((await this.buildLog.outcome(push.build.id, signal)) === 'failed') return;
      const ending = await this.#followDeployment(push.build.id, () => {}, signal);
      if ('failed' in ending || !(await repository.isCommit(push.commit))) return;
      const current = await repository.main();
      if (current === push.commit) return;
      if (!current || (await repository.descends(push.commit, current)))
        await repository.moveMain(push.commit, current);
    } finally {
      turn.end();
    }
  }

  async #deploy(
    push: MainPushRequest,
    current: string | undefined,
    announce: (what: string) => void,
  ): Promise<PushOutcome> {
    const { session, repository, command, say, signal } = push;
    const { app, actor } = session;
    const [notes, sourceDateEpoch] = await Promise.all([
      notesOn(repository, command.new),
      repository.commitTime(command.new),
    ]);
    for (const note of notes) say(note);
    const build = await this.builds.accept({
      app,
      commit: command.new,
      sourceDateEpoch,
      createdBy: actor.user.id,
      archive: repository.archive(command.new),
    });
    announce(`build #${build.number}`);
    say(`-----> Build #${build.number} of ${app.slug} (commit ${command.new.slice(0, 7)})`);
    const ending = await this.#follow(build.id, say, signal);
    if ('failed' in ending) {
      const serving = await this.releases.serving(app.id);
      say(serving === undefined ? 'Nothing was deployed.' : `Nothing has changed: v${serving} still serves.`);
      return refused(ending.failed);
    }
    await repository.moveMain(command.new, current);
    return this.#sayUrl(session, say, `v${ending.release} is live`);
  }

  /** Waits for the build and then for its deployment, and says what they say. */
  async #follow(buildId: string, say: Say, signal: AbortSignal): Promise<Ending> {
    const built = await this.#relay(this.buildLog.follow(buildId, signal), say, signal);
    return built ? this.#followDeployment(buildId, say, signal) : { failed: 'build failed' };
  }

  async #followDeployment(buildId: string, say: Say, signal: AbortSignal): Promise<Ending> {
    const deployment = await this.buildRows.deploymentOf(buildId);
    if (!deployment) return { failed: 'deployment failed' };
    const live = await this.#relay(this.deployments.watch(deployment.id, signal), say, signal);
    return live ? { release: deployment.release } : { failed: 'deployment failed' };
  }

  /** True when the task succeeded. */
  async #relay(events: AsyncIterable<ProgressEvent>, say: Say, signal: AbortSignal): Promise<boolean> {
    for await (const event of events) {
      if (event.text !== undefined) say(event.text);
      if (event.status) return event.status === 'succeeded';
    }
    signal.throwIfAborted();
    return false;
  }

  #sayUrl({ app }: PushSession, say: Say, how: string): PushOutcome {
    say('');
    say(`${app.slug} ${how}: ${appUrl(this.config, app.slug)}`);
    return { kind: 'done' };
  }
}

/** What a commit holds that a build does not see. */
async function notesOn(repository: GitRepository, commit: string): Promise<string[]> {
  const [modules, attributes] = await Promise.all([
    repository.file(commit, '.gitmodules'),
    repository.file(commit, '.gitattributes'),
  ]);
  const notes: string[] = [];
  if (modules !== undefined) {
    notes.push(
      'This repository has submodules. They are not followed: their folders are empty in the build.',
    );
  }
  if (/\bfilter=lfs\b/.test(attributes ?? '')) {
    notes.push('This repository uses Git LFS. It is not followed: the build sees the pointer files.');
  }
  return notes;
}
