import { LogFile, type LogPosition } from './log-file.ts';
import { cutText, type LogEntry, MAX_TEXT, parseLogRecord } from './log-line.ts';

const READ_BYTES = 128 * 1024;
/** Lines that the platform says about an instance and that wait to be sent; the oldest go first. */
const MAX_NOTES = 100;

export interface LogChunk {
  entries: LogEntry[];
  /** Where reading must go on after a crash, once the entries have been taken. */
  resumeAt: LogPosition;
}

interface Pending {
  text: string;
  at: string;
  position: LogPosition;
}

/** One container's log as entries: the file's lines and what the platform says, by time. */
export class LogSource {
  readonly #file: LogFile;
  #notes: LogEntry[] = [];
  #endNotes: LogEntry[] = [];
  #lastAt = '';
  readonly #pending = new Map<'stdout' | 'stderr', Pending>();
  #ended = false;

  constructor(
    readonly instanceId: string,
    logFile: string,
    resume: LogPosition | undefined,
  ) {
    this.#file = new LogFile(logFile, resume);
  }

  note(text: string, atMs: number): void {
    this.#notes.push({ at: new Date(atMs).toISOString(), stream: 'platform', text });
    if (this.#notes.length > MAX_NOTES) this.#notes.shift();
  }

  /** A line that follows everything the process has written, whatever the clocks say. */
  noteEnd(text: string, atMs: number): void {
    this.#endNotes.push({ at: new Date(atMs).toISOString(), stream: 'platform', text });
  }

  /** Makes sure that the file can be read to its end though it is deleted soon. */
  async keepOpen(): Promise<void> {
    await this.#file.ensureOpen();
  }

  /** The process has ended: a last line without an end is a line too. */
  end(): void {
    this.#ended = true;
  }

  /**
   * The next entries, about `maxEntries` at most, taken out of the source: keep the chunk until it has been sent.
   * Undefined when there is nothing (yet).
   */
  async read(maxEntries: number): Promise<LogChunk | undefined> {
    const entries: LogEntry[] = [];
    const bytes = await this.#file.read(READ_BYTES);
    let used = 0;
    while (entries.length < maxEntries) {
      const end = bytes.indexOf(0x0a, used);
      if (end < 0) break;
      this.#takeRecord(bytes.toString('utf8', used, end), entries);
      this.#file.consume(end + 1 - used);
      used = end + 1;
    }
    if (used === 0 && bytes.length === READ_BYTES) {
      // No writer makes such a record: skip it rather than stand still.
      this.#file.consume(bytes.length);
      used = bytes.length;
    }
    // A record that is not finished yet stays in the file; after the process's end nobody will finish it.
    const finished = used === bytes.length || (this.#ended && bytes.indexOf(0x0a, used) < 0);
    if (finished && bytes.length < READ_BYTES && entries.length < maxEntries) this.#takeRest(entries);
    this.#lastAt = entries.at(-1)?.at ?? this.#lastAt;
    return entries.length > 0 || used > 0 ? { entries, resumeAt: this.#resumeAt() } : undefined;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #takeRecord(record: string, entries: LogEntry[]): void {
    const line = parseLogRecord(record);
    if (!line) return;
    this.#takeNotesBefore(line.at, entries);
    const begun = this.#pending.get(line.stream);
    const text = (begun?.text ?? '') + line.text;
    if (!line.full && text.length < MAX_TEXT) {
      this.#pending.set(
        line.stream,
        begun ? { ...begun, text } : { text, at: line.at, position: this.#file.position },
      );
      return;
    }
    this.#pending.delete(line.stream);
    for (const part of cutText(text)) entries.push({ at: line.at, stream: line.stream, text: part });
  }

  #takeNotesBefore(at: string, entries: LogEntry[]): void {
    while (this.#notes[0] && this.#notes[0].at <= at) entries.push(...this.#notes.splice(0, 1));
  }

  #takeRest(entries: LogEntry[]): void {
    if (this.#ended) {
      for (const [stream, { text, at }] of this.#pending) {
        for (const part of cutText(text)) entries.push({ at, stream, text: part });
      }
      this.#pending.clear();
    }
    entries.push(...this.#notes.splice(0));
    if (!this.#ended) return;
    const lastAt = entries.at(-1)?.at ?? this.#lastAt;
    for (const note of this.#endNotes.splice(0)) {
      if (note.at < lastAt) note.at = lastAt;
      entries.push(note);
    }
  }

  #resumeAt(): LogPosition {
    const here = this.#file.position;
    const begun = [...this.#pending.values()].filter(({ position }) => position.inode === here.inode);
    return {
      inode: here.inode,
      offset: Math.min(here.offset, ...begun.map(({ position }) => position.offset)),
    };
  }
}
