import { describe, expect, it } from 'vitest';
import { parseContentRange, parseRange } from './http-range.ts';

describe('parseRange', () => {
  it.each([
    ['bytes=0-3', { first: 0, last: 3 }],
    ['bytes=4-', { first: 4, last: 9 }],
    ['bytes=4-99', { first: 4, last: 9 }],
    ['bytes=-3', { first: 7, last: 9 }],
    ['bytes=-99', { first: 0, last: 9 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=3-2', undefined],
    ['bytes=-', undefined],
    ['bytes=0-1,3-4', undefined],
    ['lines=0-1', undefined],
    [undefined, undefined],
  ])('%s of 10 bytes', (header, expected) => {
    expect(parseRange(header, 10)).toEqual(expected);
  });

  it('has no byte to give of an empty blob', () => {
    expect(parseRange('bytes=0-', 0)).toBe('unsatisfiable');
    expect(parseRange('bytes=-5', 0)).toBe('unsatisfiable');
  });
});

it.each([
  ['0-9', { first: 0, last: 9 }],
  ['bytes 5-9/10', { first: 5, last: 9 }],
  ['9-5', undefined],
  ['a-b', undefined],
])('reads the Content-Range %s', (header, expected) => {
  expect(parseContentRange(header)).toEqual(expected);
});
