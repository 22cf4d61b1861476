import { Injectable } from '@nestjs/common';
import type { ProgressEvent } from '#libs/contract';
import { EventBus } from '../events/event-bus.ts';
import { type BuildRow, BuildsRepository, hasEnded } from './builds.repository.ts';
import { MAX_LOG_LINES } from './limits.ts';

const LOOK_AGAIN_MS = 5_000;
const PAGE_LINES = 1_000;

/** What builds print. */
@Injectable()
export class BuildLog {
  constructor(
    private readonly builds: BuildsRepository,
    private readonly bus: EventBus,
  ) {}

  /** Lines from a node; `offset` is the number of lines before them. Lines of a build that has ended are dropped. */
  async append(
    nodeId: string,
    buildId: string,
    { offset, lines }: { offset: number; lines: string[] },
  ): Promise<void> {
    const build = await this.builds.requireAssigned(buildId, nodeId);
    if (hasEnded(build)) return;
    await this.builds.putLines(buildId, Math.min(offset, MAX_LOG_LINES), keptLines(offset, lines));
    this.bus.publish(`build:${buildId}`);
  }

  /** All lines from the start, then each as it comes; ends with an item that carries `status`, or when aborted. */
  async *follow(buildId: string, signal: AbortSignal): AsyncGenerator<ProgressEvent> {
    let next = 0;
    for await (const _ of this.bus.watch(`build:${buildId}`, { everyMs: LOOK_AGAIN_MS, signal })) {
      const build = await this.builds.find(buildId); // before the lines, so that none of an ended build is missed
      for (let full = true; full && !signal.aborted; ) {
        const lines = await this.builds.lines(buildId, next, PAGE_LINES);
        for (const line of lines) yield { at: line.at.toISOString(), text: line.text };
        next = (lines.at(-1)?.index ?? next - 1) + 1;
        full = lines.length === PAGE_LINES;
      }
      if (build && !hasEnded(build)) continue;
      yield lastItem(build);
      return;
    }
  }

  /** Whether the build succeeded, once it has ended. Rejects with the signal's reason when aborted. */
  async outcome(buildId: string, signal: AbortSignal): Promise<'succeeded' | 'failed'> {
    for await (const _ of this.bus.watch(`build:${buildId}`, { everyMs: LOOK_AGAIN_MS, signal })) {
      const build = await this.builds.find(buildId);
      if (!build || hasEnded(build)) return build?.status === 'succeeded' ? 'succeeded' : 'failed';
    }
    throw signal.reason;
  }
}

/** The lines that the limit leaves; the one at the limit says that the rest was cut. */
export function keptLines(offset: number, lines: readonly string[], limit = MAX_LOG_LINES): string[] {
  const kept = lines.slice(0, Math.max(0, limit - offset)).map((line) => line.replaceAll('\0', '\uFFFD'));
  if (offset + lines.length > limit) kept.push(`The rest of this log was cut: a build keeps ${limit} lines.`);
  return kept;
}

function lastItem(build: BuildRow | null): ProgressEvent {
  const at = (build?.finishedAt ?? new Date()).toISOString();
  if (!build) return { at, text: 'The app was destroyed', status: 'failed' };
  if (build.status === 'succeeded') return { at, status: 'succeeded' };
  return {
    at,
    text: `Build #${build.number} ${build.status}${build.error ? `: ${build.error}` : ''}`,
    status: 'failed',
  };
}
