/** Control characters that are not white space: in a terminal they move, erase or pretend. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const COLOR_SEQUENCE = /(\u001b\[[0-9;:]*m)/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const ESCAPE_SEQUENCE = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g;

/** `text` without control characters (tabs and line feeds stay), for words that come from the network. */
export function plain(text: string): string {
  return text.replace(ESCAPE_SEQUENCE, '').replace(CONTROL, '');
}

/**
 * A line of an app's output for a terminal: colours stay, and end with the line; every other control sequence goes,
 * since the line's author could use it to forge what the user sees.
 */
export function colorsOnly(text: string): string {
  const parts = text.split(COLOR_SEQUENCE);
  if (parts.length === 1) return plain(text);
  return `${parts.map((part, index) => (index % 2 ? part : plain(part))).join('')}\u001b[0m`;
}

/** A table's cell: text from anywhere, and how to paint it once it has been cleaned and padded. */
export type Cell = string | { text: string; paint: (text: string) => string };

/** Left-aligned columns with two spaces between them, without trailing spaces; one string a row. */
export function alignColumns(rows: readonly (readonly Cell[])[]): string[] {
  const cleaned = rows.map((row) =>
    row.map((cell) => {
      const { text, paint } =
        typeof cell === 'string' ? { text: cell, paint: (painted: string) => painted } : cell;
      return { text: plain(text).replaceAll(/\s+/g, ' '), paint };
    }),
  );
  const widths: number[] = [];
  for (const row of cleaned) {
    row.forEach(({ text }, column) => {
      widths[column] = Math.max(widths[column] ?? 0, text.length);
    });
  }
  return cleaned.map((row) =>
    row
      .map(({ text, paint }, column) => {
        const isLast = column === row.length - 1;
        return paint(text) + (isLast ? '' : ' '.repeat((widths[column] ?? 0) - text.length));
      })
      .join('  ')
      .trimEnd(),
  );
}

const UNITS: readonly [name: string, ms: number][] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
];

/** How long before `nowMs` a time stamp lies: `3m ago`, `just now`; `-` for none. */
export function ago(timestamp: string | null, nowMs: number): string {
  if (timestamp === null) return '-';
  const elapsed = duration(nowMs - Date.parse(timestamp));
  return elapsed === '0s' ? 'just now' : `${elapsed} ago`;
}

/** Milliseconds in the largest whole unit: `42s`, `3m`, `5h`, `12d`. */
export function duration(ms: number): string {
  for (const [name, size] of UNITS) {
    if (ms >= size) return `${Math.floor(ms / size)}${name}`;
  }
  return '0s';
}

/** Bytes in binary units, one decimal below ten: `512 MiB`, `1.5 GiB`. */
export function bytes(count: number): string {
  let value = count;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB', 'TiB']) {
    if (value < 1024 || unit === 'TiB') {
      const digits = value < 10 && !Number.isInteger(value) ? 1 : 0;
      return `${value.toFixed(digits)} ${unit}`;
    }
    value /= 1024;
  }
  return String(count);
}

/** An instance's name for people: its service and the first characters of its id, `web.3k9d2a`. */
export function instanceName(instance: { service: string; id: string }): string {
  return `${instance.service}.${instance.id.slice(instance.id.indexOf('_') + 1).slice(0, 6)}`;
}

/** `1 volume`, `2 volumes`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
