import { describe, expect, it } from 'vitest';
import { hintFor, judgeMain, refusalOf } from './refs.ts';

const A = 'a'.repeat(40);
const B = 'b'.repeat(40);
const C = 'c'.repeat(40);
const ZERO = '0'.repeat(40);

describe('judgeMain', () => {
  it.each([
    ['the first push', { seen: undefined, wanted: A, current: undefined, descends: false }, 'deploy'],
    ['one more commit', { seen: A, wanted: B, current: A, descends: true }, 'deploy'],
    [
      'a forced push by one who saw the current commit',
      { seen: A, wanted: B, current: A, descends: false },
      'deploy',
    ],
    ['a push that waited for an ancestor', { seen: A, wanted: C, current: B, descends: true }, 'deploy'],
    ['a push that waited for another history', { seen: A, wanted: C, current: B, descends: false }, 'stale'],
    [
      'a first push that another overtook',
      { seen: undefined, wanted: C, current: B, descends: false },
      'stale',
    ],
    ['a push that waited for the same commit', { seen: A, wanted: B, current: B, descends: true }, 'same'],
    [
      'a push onto a branch that is gone',
      { seen: A, wanted: B, current: undefined, descends: false },
      'stale',
    ],
  ])('%s', (_, push, verdict) => {
    expect(judgeMain(push)).toBe(verdict);
  });
});

describe('other refs', () => {
  const limits = { refNameBytes: 30 };
  it.each([
    ['refs/heads/feature/x', undefined],
    ['refs/tags/v1', undefined],
    ['refs/heads/mainly', undefined],
    ['refs/heads/main/x', 'main is a branch, so it cannot be a folder of branches'],
    ['refs/notes/commits', 'only branches and tags are stored'],
    ['refs/heads/äääääääääääääääää', 'the name is longer than 30 bytes'],
  ])('%s', (ref, reason) => {
    expect(refusalOf({ old: ZERO, new: A, ref }, limits)).toBe(reason);
  });

  it('may always be deleted', () => {
    expect(refusalOf({ old: A, new: ZERO, ref: 'refs/heads/main/x' }, limits)).toBeUndefined();
    expect(hintFor({ old: A, new: ZERO, ref: 'refs/heads/x' })).toBeUndefined();
  });
});
