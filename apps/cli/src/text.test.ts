import { expect, test } from 'vitest';
import { ago, alignColumns, bytes, colorsOnly, count, duration, instanceName, plain } from './text.ts';

test('columns are aligned by what is seen, not by what paints it, and end without spaces', () => {
  const red = (text: string) => `\u001b[31m${text}\u001b[0m`;
  expect(
    alignColumns([
      ['NAME', 'STATE', ''],
      [{ text: 'a', paint: red }, 'long state', ''],
      ['longer', 'x', 'end'],
    ]),
  ).toEqual(['NAME    STATE', '\u001b[31ma\u001b[0m       long state', 'longer  x           end']);
});

test('what comes from the network cannot move the cursor, not even in a table', () => {
  const evil = 'ok\u001b[2J\u001b]0;title\u0007\r\nnext\u009b1A';
  expect(plain(evil)).toBe('ok\nnext1A');
  expect(alignColumns([[evil]])).toEqual(['ok next1A']);
});

test("an app's colours stay and end with its line; all other sequences go", () => {
  expect(colorsOnly('\u001b[31mred\u001b[2K')).toBe('\u001b[31mred\u001b[0m');
  expect(colorsOnly('plain\u0007')).toBe('plain');
});

test('times are told in one unit', () => {
  const now = Date.parse('2026-11-05T12:00:00Z');
  expect(ago('2026-11-05T11:56:30Z', now)).toBe('3m ago');
  expect(ago('2026-11-05T12:00:00Z', now)).toBe('just now');
  expect(ago('2026-11-05T12:00:05Z', now)).toBe('just now'); // clocks differ
  expect(ago('2026-11-01T12:00:00Z', now)).toBe('4d ago');
  expect(ago(null, now)).toBe('-');
  expect(duration(59_999)).toBe('59s');
});

test('sizes, counts and names for people', () => {
  expect([bytes(512), bytes(1536), bytes(512 * 2 ** 20), bytes(24 * 2 ** 30)]).toEqual([
    '512 B',
    '1.5 KiB',
    '512 MiB',
    '24 GiB',
  ]);
  expect([count(1, 'volume'), count(0, 'volume')]).toEqual(['1 volume', '0 volumes']);
  expect(instanceName({ service: 'web', id: 'ins_3k9d2axxxxxxxxxxxxxx' })).toBe('web.3k9d2a');
});
