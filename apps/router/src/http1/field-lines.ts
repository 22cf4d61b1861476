import { badRequest } from '../request-error.ts';

/** RFC 9110, section 5.6.2. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/**
 * Whole header lines, and nothing else: `token ":" *( HTAB / SP / VCHAR / obs-text ) CRLF`. One match refuses what
 * RFC 9112 lets a server refuse: obs-fold, white space before the colon, bare CR or LF, NUL and other controls.
 */
const FIELD_LINES = /^(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*$/;

/** Decides whether a header line goes on (true) or is left out (false). `value` is without surrounding white space. */
export type TakeField = (name: string, value: () => string) => boolean;

/**
 * Reads header lines from `text`, each ended by CRLF, and returns those that `take` wants kept, byte for byte.
 * Throws `bad-request` on a malformed line, and whatever `tooMany` returns above `maxFields`.
 */
export function takeFields(text: string, maxFields: number, tooMany: () => Error, take: TakeField): string {
  if (!FIELD_LINES.test(text)) throw badRequest(explain(text));
  let kept = '';
  let keepFrom = 0;
  let count = 0;
  let at = 0;
  while (at < text.length) {
    const end = text.indexOf('\r\n', at);
    const colon = text.indexOf(':', at);
    if (++count > maxFields) throw tooMany();
    if (!take(text.slice(at, colon), () => trimOws(text.slice(colon + 1, end)))) {
      kept += text.slice(keepFrom, at);
      keepFrom = end + 2;
    }
    at = end + 2;
  }
  return keepFrom === 0 ? text : kept + text.slice(keepFrom);
}

/** The fields of already checked header lines as [name, value], in order. */
export function listFields(text: string): [name: string, value: string][] {
  const lines = text.split('\r\n').filter((line) => line !== '');
  return lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), trimOws(line.slice(colon + 1))];
  });
}

/** `lines` without the fields named (in lower case) in `names`. */
export function withoutFields(text: string, names: ReadonlySet<string>): string {
  return listFields(text)
    .filter(([name]) => !names.has(name.toLowerCase()))
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
}

/** Optional white space is space and tab only; `trim()` would also take what RFC 9110 does not call white space. */
function trimOws(value: string): string {
  let from = 0;
  let to = value.length;
  while (from < to && isOws(value.charCodeAt(from))) from++;
  while (to > from && isOws(value.charCodeAt(to - 1))) to--;
  return value.slice(from, to);
}

const isOws = (code: number): boolean => code === 0x20 || code === 0x09;

/** What is wrong with the first bad line; shows none of its bytes. */
function explain(text: string): string {
  for (const line of text.split('\r\n')) {
    if (line === '' || FIELD_LINES.test(`${line}\r\n`)) continue;
    if (/[\r\n]/.test(line)) return 'a header line has a bare CR or LF';
    if (/^[ \t]/.test(line)) return 'a header is folded over several lines (obs-fold)';
    if (/[^\t\x20-\x7e\x80-\xff]/.test(line)) return 'a header line has a control character';
    if (!line.includes(':')) return 'a header line has no colon';
    return 'a header name has a character that is not allowed, such as white space before the colon';
  }
  return 'a header line is malformed';
}
