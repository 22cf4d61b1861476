import { stripVTControlCharacters } from 'node:util';

const MAX_LINE_LENGTH = 2_000;

/**
 * Text from builds and apps as lines for a stranger's terminal: escape sequences and control characters (C0 but tab,
 * DEL, C1, bidirectional overrides) are taken out, long lines cut.
 */
export function terminalLines(text: string): string[] {
  return stripVTControlCharacters(text)
    .split(/\r\n|\n|\r/)
    .map((line) => line.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, ''))
    .map((line) => (line.length > MAX_LINE_LENGTH ? `${line.slice(0, MAX_LINE_LENGTH)}…` : line));
}
