import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkedBody, type ChunkedMode } from './chunked-body.ts';

const limits = { trailerBytes: 64 };

/** Feeds `parts` one after the other; returns what went on and how many bytes of the last part were not the body's. */
function run(parts: string[], mode: ChunkedMode = 'relay'): { out: string; done: boolean; rest: number } {
  const body = new ChunkedBody(mode, limits);
  const out: Buffer[] = [];
  let rest = 0;
  let done = false;
  for (const part of parts) {
    const data = Buffer.from(part, 'latin1');
    const end = body.feed(data, 0, out);
    if (end < 0) continue;
    done = true;
    rest = data.length - end;
  }
  return { out: Buffer.concat(out).toString('latin1'), done, rest };
}

const MESSAGE = '3;x=y\r\nabc\r\n1\r\nd\r\n0;z\r\nX-T: 1\r\n\r\n';
const RELAYED = '3\r\nabc\r\n1\r\nd\r\n0\r\nX-T: 1\r\n\r\n';

describe('ChunkedBody', () => {
  it('relays chunks and trailers without extensions, and finds the end', () => {
    expect(run([`${MESSAGE}GET /`])).toEqual({ out: RELAYED, done: true, rest: 5 });
  });

  it('gives the payload only', () => {
    expect(run([MESSAGE], 'payload')).toEqual({ out: 'abcd', done: true, rest: 0 });
  });

  it('does the same however the bytes are cut', () => {
    const cuts = fc.array(fc.integer({ min: 0, max: MESSAGE.length }), { maxLength: 12 });
    fc.assert(
      fc.property(cuts, fc.constantFrom<ChunkedMode>('relay', 'payload'), (at, mode) => {
        const edges = [0, ...at.sort((a, b) => a - b), MESSAGE.length];
        const parts = edges.slice(1).map((end, index) => MESSAGE.slice(edges[index], end));
        expect(run(parts, mode)).toMatchObject({ out: mode === 'relay' ? RELAYED : 'abcd', done: true });
      }),
    );
  });

  it('either refuses bytes or passes on what means the same', () => {
    const pieces = fc.constantFrom(
      '0',
      '1',
      'a',
      '\r\n',
      '\r',
      '\n',
      ';',
      ' ',
      'x',
      '\r\n\r\n',
      '0\r\n\r\n',
      'X: y',
      '\0',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 14 }), (list) => {
        let relayed: ReturnType<typeof run>;
        try {
          relayed = run([list.join('')]);
        } catch {
          return;
        }
        if (!relayed.done) return;
        // Relaying takes extensions off, so what it leaves as it is has none.
        expect(run([relayed.out])).toEqual({ out: relayed.out, done: true, rest: 0 });
        expect(run([relayed.out], 'payload').out).toBe(run([list.join('')], 'payload').out);
      }),
      { numRuns: 3_000 },
    );
  });

  it('puts nothing out that completes the message when a trailer is refused', () => {
    const body = new ChunkedBody('relay', limits);
    const out: Buffer[] = [];
    body.feed(Buffer.from('1\r\na\r\n'), 0, out);
    expect(() => body.feed(Buffer.from('0\r\nHost: x\r\n\r\n'), 0, out)).toThrow('Host may not be a trailer');
    expect(Buffer.concat(out).toString()).toBe('1\r\na\r\n');
  });
});
