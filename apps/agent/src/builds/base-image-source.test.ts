import { describe, expect, it } from 'vitest';
import { silentLogger } from '#libs/log';
import { BaseImageSource } from './base-image-source.ts';

const signal = new AbortController().signal;

function setUp() {
  const tries: { onProgress: (line: string) => void; made: PromiseWithResolvers<string> }[] = [];
  const source = new BaseImageSource<string>({
    log: silentLogger(),
    signal,
    ensure: (onProgress) => {
      const made = Promise.withResolvers<string>();
      tries.push({ onProgress, made });
      return made.promise;
    },
  });
  return { source, tries };
}

describe('BaseImageSource', () => {
  it('makes the images once, and tells builds that come early what they wait for', async () => {
    const { source, tries } = setUp();
    source.prepare();
    const lines: string[] = [];
    const waiting = source.get((line) => lines.push(line), signal);
    tries[0]?.onProgress('run image: unpacking');
    tries[0]?.made.resolve('bases');
    expect(await waiting).toBe('bases');
    expect(lines).toEqual([
      'Waiting for the base images, which are made once on this machine',
      'run image: unpacking',
    ]);
    expect(await source.get((line) => lines.push(line), signal)).toBe('bases');
    expect(lines).toHaveLength(2);
    expect(tries).toHaveLength(1);
  });

  it('fails the builds that waited, and tries again for the next', async () => {
    const { source, tries } = setUp();
    source.prepare();
    const waiting = source.get(() => {}, signal);
    tries[0]?.made.reject(new Error('no mirror'));
    await expect(waiting).rejects.toThrow('no mirror');
    const next = source.get(() => {}, signal);
    tries[1]?.made.resolve('bases');
    expect(await next).toBe('bases');
  });

  it('lets a cancelled build go at once', async () => {
    const { source } = setUp();
    const cancel = new AbortController();
    const waiting = source.get(() => {}, cancel.signal);
    cancel.abort(new Error('cancelled'));
    await expect(waiting).rejects.toThrow('cancelled');
  });
});
