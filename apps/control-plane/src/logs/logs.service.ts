import { Injectable } from '@nestjs/common';
import type { InstanceLogBatch, LogEntry } from '#libs/contract';
import { EventBus } from '../events/event-bus.ts';
import { type InstanceLines, type LogFilter, type LogRow, LogsRepository } from './logs.repository.ts';

/** Lines kept of an app's log; the oldest go first. */
export const MAX_LINES_PER_APP = 10_000;
/** An app's log is trimmed after about this many new lines. */
const TRIM_EVERY_LINES = 1_000;
const LOOK_AGAIN_MS = 5_000;
const PAGE_LINES = 1_000;

/** What apps print. */
@Injectable()
export class LogsService {
  readonly #sinceTrim = new Map<string, number>();

  constructor(
    private readonly logs: LogsRepository,
    private readonly bus: EventBus,
  ) {}

  /** Lines from a node, at least once. Those of instances that are not the node's are dropped. */
  async ingest(nodeId: string, batches: readonly InstanceLogBatch[]): Promise<void> {
    const given = batches.filter((batch) => batch.entries.length > 0);
    const instances = await this.logs.instancesOf(nodeId, [...new Set(given.map((batch) => batch.instance))]);
    const byId = new Map(instances.map((instance) => [instance.id, instance]));
    const byApp = new Map<string, Map<string, InstanceLines>>();
    for (const { instance: instanceId, entries } of given) {
      const instance = byId.get(instanceId);
      if (!instance) continue;
      const ofApp = byApp.get(instance.appId) ?? new Map<string, InstanceLines>();
      const known = ofApp.get(instanceId) ?? { instanceId, service: instance.service, lines: [] };
      known.lines.push(...entries.map(toLine));
      byApp.set(instance.appId, ofApp.set(instanceId, known));
    }
    for (const [appId, lines] of byApp) await this.#store(appId, [...lines.values()]);
  }

  /** The newest `tail` lines, oldest first, then with `follow` each as it comes, until aborted. */
  async *read(
    appId: string,
    options: LogFilter & { tail: number; follow: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<LogEntry> {
    const { tail, follow, ...filter } = options;
    // Looked up first: lines that come in between are in the tail, or are the first that are followed.
    let last = await this.logs.lastId(appId);
    for (const row of await this.logs.newest(appId, filter, tail)) {
      yield present(row);
      if (row.id > last) last = row.id;
    }
    if (!follow) return;
    for await (const _ of this.bus.watch(`logs:${appId}`, { everyMs: LOOK_AGAIN_MS, signal })) {
      for (let full = true; full && !signal.aborted; ) {
        const rows = await this.logs.after(appId, filter, last, PAGE_LINES);
        for (const row of rows) yield present(row);
        last = rows.at(-1)?.id ?? last;
        full = rows.length === PAGE_LINES;
      }
    }
  }

  /** The last `count` lines of one instance, oldest first. */
  async lastLines(instanceId: string, count: number): Promise<string[]> {
    return (await this.logs.lastOfInstance(instanceId, count)).map((row) => row.text);
  }

  async #store(appId: string, lines: InstanceLines[]): Promise<void> {
    const added = await this.logs.append(appId, lines, MAX_LINES_PER_APP);
    if (added === 0) return;
    this.bus.publish(`logs:${appId}`);
    const sinceTrim = (this.#sinceTrim.get(appId) ?? TRIM_EVERY_LINES) + added; // also after a start
    this.#sinceTrim.set(appId, sinceTrim);
    if (sinceTrim < TRIM_EVERY_LINES) return;
    this.#sinceTrim.set(appId, 0);
    await this.logs.trim(appId, MAX_LINES_PER_APP);
  }
}

function toLine({ at, stream, text }: InstanceLogBatch['entries'][number]) {
  return { at: new Date(at), stream, text: text.replaceAll('\0', '\uFFFD') };
}

function present(row: LogRow): LogEntry {
  const stream = row.stream === 'stdout' || row.stream === 'stderr' ? row.stream : 'platform';
  return { at: row.at.toISOString(), service: row.service, instance: row.instanceId, stream, text: row.text };
}
