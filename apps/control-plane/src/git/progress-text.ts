import { stripVTControlCharacters } from 'node:util';

const MAX_LINE_LENGTH = 2_000;

/**
 * Text from builds and apps as lines for a stranger's terminal: escape sequences and control characters (C0 but tab,
 * DEL, C1, bidirectional overrides) are taken out, long lines cut.
 */
export function terminalLines(text: string): string[] {
  return stripVTControlCharacters(text)
    .split(/\r\n|\n|\r/)
    .map((line) => line.replace(/(?!\t)[\p{Cc}\p{Bidi_Control}]/gu, ''))
    .map((line) => (line.length > MAX_LINE_LENGTH ? `${line.slice(0, MAX_LINE_LENGTH)}…` : line));
}
