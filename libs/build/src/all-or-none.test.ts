import { describe, expect, it } from 'vitest';
import { allOrNone } from './all-or-none.ts';

describe('allOrNone', () => {
  it('returns every result', async () => {
    expect(await allOrNone(undefined, [async () => 1, async () => 'two'])).toEqual([1, 'two']);
  });

  it('aborts and waits for the others before it throws the first error', async () => {
    let ended = false;
    const slow = (signal: AbortSignal) =>
      new Promise<void>((resolve) => {
        signal.addEventListener('abort', () =>
          setTimeout(() => {
            ended = true;
            resolve();
          }, 5),
        );
      });
    const failing = async () => {
      throw new Error('first');
    };
    await expect(allOrNone(undefined, [slow, failing])).rejects.toThrow('first');
    expect(ended).toBe(true);
  });

  it("throws the caller's own reason when it is cancelled", async () => {
    const cancel = new AbortController();
    const task = (signal: AbortSignal) =>
      new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(new Error('inner'))));
    const running = allOrNone(cancel.signal, [task]);
    cancel.abort(new Error('outer'));
    await expect(running).rejects.toThrow('outer');
  });
});
