import { describe, expect, it } from 'vitest';
import { Turns } from './turns.ts';

const forever = new AbortController().signal;
const quiet = { onWait: () => {}, signal: forever };

describe('Turns', () => {
  it('gives turns in order, one at a time, and tells what is waited for', async () => {
    const turns = new Turns();
    const heard: string[] = [];
    const order: number[] = [];
    const first = await turns.take('app', quiet);
    first.announce('build #1');
    const second = turns.take('app', { onWait: (what) => heard.push(`second: ${what}`), signal: forever });
    const third = turns.take('app', { onWait: (what) => heard.push(`third: ${what}`), signal: forever });
    void second.then(() => order.push(2));
    void third.then(() => order.push(3));
    first.end();
    first.end();
    const turn = await second;
    expect(order).toEqual([2]);
    turn.announce('build #2');
    turn.end();
    (await third).end();
    expect(order).toEqual([2, 3]);
    expect(heard).toEqual(['second: build #1', 'third: build #1', 'third: build #2']);
  });

  it('keeps apps apart, and starts afresh when nobody waits', async () => {
    const turns = new Turns();
    const one = await turns.take('one', quiet);
    const other = await turns.take('other', quiet);
    one.end();
    other.end();
    (await turns.take('one', quiet)).end();
  });

  it('lets one who waits leave without losing the place of others', async () => {
    const turns = new Turns();
    const first = await turns.take('app', quiet);
    const leaving = new AbortController();
    const second = turns.take('app', { onWait: () => {}, signal: leaving.signal });
    const third = turns.take('app', quiet);
    leaving.abort(new Error('gone'));
    await expect(second).rejects.toThrow('gone');
    first.end();
    (await third).end();
  });
});
