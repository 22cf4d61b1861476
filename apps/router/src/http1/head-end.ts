import { badRequest } from '../request-error.ts';

const END = Buffer.from('\r\n\r\n');
const CR = 0x0d;
const LF = 0x0a;

/**
 * Index of the empty line that ends a head (of its first CRLF pair), or -1 when it has not come yet.
 * `scanned` bytes were looked through before. Throws `bad-request` at once on a line that is ended by a bare LF:
 * waiting for the CRLF that will never come would only end in a timeout.
 */
export function findHeadEnd(data: Buffer, scanned: number): number {
  const end = data.indexOf(END, Math.max(0, scanned - 3));
  if (end >= 0) return end;
  for (let lf = data.indexOf(LF, scanned); lf >= 0; lf = data.indexOf(LF, lf + 1)) {
    if (data[lf - 1] !== CR) throw badRequest('a line ends with a bare LF');
  }
  return -1;
}
