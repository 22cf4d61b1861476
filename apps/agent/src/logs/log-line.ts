/** A log entry's text at most, in UTF-16 units (the contract's limit); longer lines are cut into several entries. */
export const MAX_TEXT = 16_384;

export interface LogEntry {
  /** RFC 3339 in UTC, with milliseconds. */
  at: string;
  stream: 'stdout' | 'stderr' | 'platform';
  text: string;
}

export interface RawLine {
  at: string;
  stream: 'stdout' | 'stderr';
  /** False when the process has not ended the line yet: the next record of this stream goes on with it. */
  full: boolean;
  text: string;
}

/**
 * Parses one record of the k8s-file format (CRI logging): `<RFC 3339 nanoseconds> <stdout|stderr> <F|P> <text>`.
 * Undefined for anything else: a record cut by a crash of the machine or of the writer.
 */
export function parseLogRecord(record: string): RawLine | undefined {
  const match = /^(\S{20,40}) (stdout|stderr) ([FP])(?::\S*)? ?/.exec(record);
  if (!match) return undefined;
  const atMs = Date.parse(match[1] ?? '');
  if (Number.isNaN(atMs)) return undefined;
  return {
    at: new Date(atMs).toISOString(),
    stream: match[2] === 'stderr' ? 'stderr' : 'stdout',
    full: match[3] === 'F',
    text: record.slice(match[0].length),
  };
}

/** Cuts a line into texts that the contract takes, never inside a surrogate pair; NUL, which no store takes, is replaced. */
export function cutText(text: string): string[] {
  const clean = text.replaceAll('\0', '\uFFFD').replace(/\r$/, '');
  if (clean.length <= MAX_TEXT) return [clean];
  const parts: string[] = [];
  let from = 0;
  while (from < clean.length) {
    let to = Math.min(from + MAX_TEXT, clean.length);
    const last = clean.charCodeAt(to - 1);
    if (to < clean.length && last >= 0xd800 && last <= 0xdbff) to -= 1;
    parts.push(clean.slice(from, to));
    from = to;
  }
  return parts;
}
