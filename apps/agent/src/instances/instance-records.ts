import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { Id } from '#libs/contract';
import { readFileIfExists, syncFolder, writeFileDurably } from '#libs/host';
import type { Logger } from '#libs/log';

/** What the node remembers of an instance beyond its container: failures, back-off, the last exit. */
export const InstanceRecord = z.object({
  id: Id,
  /** The generation that the rest is about; a record of another one counts for nothing. */
  generation: z.number().int(),
  /** The latest attempt whose end has been counted. Attempts start at 1. */
  settledAttempt: z.number().int(),
  restarts: z.number().int(),
  /** Crashes and failed set-ups in a row. */
  failures: z.number().int(),
  waitUntilMs: z.number().nullable(),
  /** What the last failure was: the process ended, or it could not be made. */
  failure: z.enum(['crash', 'setup']).nullable(),
  message: z.string().nullable(),
  lastExit: z.object({ code: z.number().int(), oomKilled: z.boolean(), atMs: z.number() }).nullable(),
  /** The attempt that has been healthy, so that an agent that starts again does not take it for a new one. */
  healthyAttempt: z.number().int(),
  healthySinceMs: z.number().nullable(),
  /** Why the agent itself ended the running attempt. */
  killReason: z.string().nullable(),
});
export type InstanceRecord = z.infer<typeof InstanceRecord>;

/** UTF-16 units kept of a message. */
export const MAX_MESSAGE = 2_000;

export function newRecord(id: string, generation: number): InstanceRecord {
  return {
    id,
    generation,
    settledAttempt: 0,
    restarts: 0,
    failures: 0,
    waitUntilMs: null,
    failure: null,
    message: null,
    lastExit: null,
    healthyAttempt: 0,
    healthySinceMs: null,
    killReason: null,
  };
}

/** The records of a node, one durable file each: `<folder>/<instance id>.json`. */
export class InstanceRecords {
  readonly #records = new Map<string, InstanceRecord>();
  /** Writes of one record follow each other, so that the newest is the one that stays. */
  readonly #writes = new Map<string, Promise<void>>();

  private constructor(private readonly folder: string) {}

  /** Reads what is there. A file that cannot be read is dropped: it only costs the count of failures. */
  static async open(folder: string, log: Logger): Promise<InstanceRecords> {
    const records = new InstanceRecords(folder);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(folder)) {
      const file = path.join(folder, name);
      if (name.startsWith('.')) {
        await rm(file, { force: true }); // a write that a crash cut off
        continue;
      }
      const record = parseRecord(await readFileIfExists(file));
      if (record && name === `${record.id}.json`) {
        records.#records.set(record.id, record);
      } else {
        log.warn({ file }, 'dropped an unreadable instance record');
        await rm(file, { force: true, recursive: true });
      }
    }
    return records;
  }

  get all(): ReadonlyMap<string, InstanceRecord> {
    return this.#records;
  }

  /** The record of this generation; a fresh one when there is none yet. */
  get(id: string, generation: number): InstanceRecord {
    const record = this.#records.get(id);
    return record?.generation === generation ? record : newRecord(id, generation);
  }

  /** Changes a record: visible at once, durable when the promise resolves. */
  async update(id: string, generation: number, change: Partial<InstanceRecord>): Promise<InstanceRecord> {
    const record = { ...this.get(id, generation), ...change };
    if (record.message !== null) record.message = tidyMessage(record.message);
    this.#records.set(id, record);
    await this.#inOrder(id, async () => {
      const current = this.#records.get(id);
      if (current) await writeFileDurably(this.#file(id), JSON.stringify(current));
    });
    return record;
  }

  async remove(id: string): Promise<void> {
    this.#records.delete(id);
    await this.#inOrder(id, async () => {
      if (this.#records.has(id)) return;
      await rm(this.#file(id), { force: true });
      await syncFolder(this.folder);
    });
  }

  #file(id: string): string {
    return path.join(this.folder, `${id}.json`);
  }

  async #inOrder(id: string, write: () => Promise<void>): Promise<void> {
    const turn = (this.#writes.get(id) ?? Promise.resolve()).catch(() => {}).then(write);
    this.#writes.set(id, turn);
    try {
      await turn;
    } finally {
      if (this.#writes.get(id) === turn) this.#writes.delete(id);
    }
  }
}

/**
 * What failed is often told in the words of an image or a program. Bounded, since one report carries the messages of all
 * instances of the node, and without what no database stores: else one tenant's image could silence the whole node.
 */
function tidyMessage(text: string): string {
  const clean = text.replaceAll('\0', '\uFFFD').toWellFormed();
  return clean.length <= MAX_MESSAGE ? clean : `${clean.slice(0, MAX_MESSAGE - 1).toWellFormed()}…`;
}

function parseRecord(text: string | undefined): InstanceRecord | undefined {
  try {
    return text === undefined ? undefined : InstanceRecord.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
