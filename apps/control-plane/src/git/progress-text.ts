const MAX_LINE_LENGTH = 2_000;

const ESC = '\u001b';
const BEL = '\u0007';
/**
 * Escape sequences (ECMA-48): CSI, OSC and the like up to their terminator, and those of two characters. Node's own
 * `stripVTControlCharacters` takes quadratic time on hostile text; here no part can be scanned twice.
 */
const ESCAPES = new RegExp(
  [
    `(?:${ESC}\\[|\u009b)[0-?]*[ -/]*[@-~]`,
    `${ESC}[\\]PX^_][^${BEL}${ESC}]*(?:${BEL}|${ESC}\\\\)?`,
    `${ESC}[ -~]?`,
  ].join('|'),
  'g',
);

/**
 * Text from builds and apps as lines for a stranger's terminal: escape sequences and control characters (C0 but tab,
 * DEL, C1, bidirectional overrides) are taken out, long lines cut.
 */
export function terminalLines(text: string): string[] {
  return text
    .replace(ESCAPES, '')
    .split(/\r\n|\n|\r/)
    .map((line) => line.replace(/(?!\t)[\p{Cc}\p{Bidi_Control}]/gu, ''))
    .map((line) => (line.length > MAX_LINE_LENGTH ? `${line.slice(0, MAX_LINE_LENGTH)}…` : line));
}
