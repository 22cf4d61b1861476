import { PassThrough, Readable, type Transform } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { FLUSH, packet } from './pkt-line.ts';
import { bodyStages, pushHead } from './request-body.ts';

const limits = { maxBytes: 1_000, idleMs: 10_000 };

async function through(stages: Transform[], ...chunks: Buffer[]): Promise<Buffer> {
  const out = new PassThrough();
  const [bytes] = await Promise.all([buffer(out), pipeline([Readable.from(chunks), ...stages, out])]);
  return bytes;
}

describe('bodyStages', () => {
  it('passes plain and gzip bodies on', async () => {
    expect((await through(bodyStages(undefined, limits), Buffer.from('abc'))).toString()).toBe('abc');
    expect((await through(bodyStages('gzip', limits), gzipSync('abc'))).toString()).toBe('abc');
  });

  it('counts what a bomb unpacks to', async () => {
    const bomb = gzipSync(Buffer.alloc(1_000_000));
    expect(bomb.length).toBeLessThan(limits.maxBytes + 100);
    await expect(through(bodyStages('gzip', limits), bomb)).rejects.toMatchObject({ code: 'too_large' });
  });

  it('refuses other encodings', () => {
    expect(() => bodyStages('br', limits)).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it('gives up a body that stalls', async () => {
    const source = new PassThrough();
    source.write('abc');
    const out = new PassThrough();
    out.resume();
    await expect(
      pipeline([source, ...bodyStages(undefined, { maxBytes: 10, idleMs: 20 }), out]),
    ).rejects.toMatchObject({
      code: 'timeout',
    });
  });
});

describe('pushHead', () => {
  const head = Buffer.concat([packet('0 1 refs/heads/a'), packet('0 1 refs/heads/b'), FLUSH]);

  it('passes a push on, however it is cut', async () => {
    const push = Buffer.concat([head, Buffer.from('PACKzzzz')]);
    for (const size of [1, 3, 50, 1_000]) {
      const chunks = Array.from({ length: Math.ceil(push.length / size) }, (_, i) =>
        push.subarray(i * size, (i + 1) * size),
      );
      expect(await through([pushHead(1_000)], ...chunks)).toEqual(push);
    }
  });

  it('refuses a list without end, and what is no list', async () => {
    await expect(through([pushHead(20)], head)).rejects.toMatchObject({ code: 'too_large' });
    const endless = Array.from({ length: 100 }, () => packet('x'.repeat(100)));
    await expect(through([pushHead(1_000)], ...endless)).rejects.toMatchObject({ code: 'too_large' });
    await expect(through([pushHead(1_000)], Buffer.from('GET / HTTP/1.1'))).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });
});
