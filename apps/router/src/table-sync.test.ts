import { describe, expect, it } from 'vitest';
import { backoffMs } from './table-sync.ts';

describe('backoffMs', () => {
  it('doubles from 100 ms to 5 s, less up to a half', () => {
    const longest = Array.from({ length: 10 }, (_, index) => backoffMs(index + 1, () => 1));
    expect(longest).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000]);
    expect(backoffMs(3, () => 0)).toBe(200);
    expect(backoffMs(1e9, () => 1)).toBe(5000);
  });
});
