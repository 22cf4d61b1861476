import { describe, expect, it } from 'vitest';
import { keptLines } from './build-log.ts';

describe('keptLines', () => {
  it('keeps all below the limit, and replaces what no database takes', () => {
    expect(keptLines(0, ['a', 'b\0'], 2)).toEqual(['a', 'b\uFFFD']);
  });

  it('cuts at the limit and says so once, wherever the cut falls', () => {
    const cut = 'The rest of this log was cut: a build keeps 3 lines.';
    expect(keptLines(2, ['c', 'd', 'e'], 3)).toEqual(['c', cut]);
    expect(keptLines(3, ['d'], 3)).toEqual([cut]);
    expect(keptLines(9, ['x'], 3)).toEqual([cut]);
    expect(keptLines(9, [], 3)).toEqual([cut]);
  });
});
