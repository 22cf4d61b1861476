import { describe, expect, it } from 'vitest';
import { withoutDuplicates } from './duplicate-lines.ts';

const line = (ms: number, text: string, stream = 'stdout') => ({ at: new Date(ms), stream, text });

describe('withoutDuplicates', () => {
  it('drops a batch that comes again, and keeps what is new behind it', () => {
    const stored = [line(1, 'a'), line(1, 'b'), line(2, 'c')];
    expect(withoutDuplicates([...stored, line(2, 'd')], stored)).toEqual([line(2, 'd')]);
  });

  it('keeps lines that were really printed twice', () => {
    const twice = [line(1, 'a'), line(1, 'a')];
    expect(withoutDuplicates(twice, [])).toEqual(twice);
    expect(withoutDuplicates(twice, twice)).toEqual([]);
    expect(withoutDuplicates([...twice, line(1, 'a')], twice)).toEqual([line(1, 'a')]);
  });

  it('keeps lines that differ in time or stream only, and late ones', () => {
    const stored = [line(5, 'a')];
    const incoming = [line(4, 'a'), line(5, 'a', 'stderr'), line(6, 'a')];
    expect(withoutDuplicates(incoming, stored)).toEqual(incoming);
  });
});
