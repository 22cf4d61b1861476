import { describe, expect, it } from 'vitest';
import { FakeClock } from '#libs/host';
import { countFailure, restartDelayMs, STABLE_AFTER_MS } from './restart-policy.ts';

describe('restart policy', () => {
  it('waits 0, 0, 30 s, 60 s … and never more than 16 min', () => {
    const delays = Array.from({ length: 9 }, (_, index) => restartDelayMs(index + 1) / 1000);
    expect(delays).toEqual([0, 0, 30, 60, 120, 240, 480, 960, 960]);
    expect(restartDelayMs(10_000)).toBe(960_000);
  });

  it('forgets earlier failures only after five minutes of healthy running', () => {
    const clock = new FakeClock(50);
    const record = { failures: 6, healthySinceMs: clock.now() };
    clock.advance(STABLE_AFTER_MS - 1);
    expect(countFailure(record, clock.now())).toBe(7);
    clock.advance(1);
    expect(countFailure(record, clock.now())).toBe(1);
    expect(countFailure({ failures: 6, healthySinceMs: null }, clock.now())).toBe(7);
  });
});
