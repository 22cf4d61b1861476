import { describe, expect, it } from 'vitest';
import { cutText, MAX_TEXT, parseLogRecord } from './log-line.ts';

describe('parseLogRecord', () => {
  it('reads whole and partial records', () => {
    expect(parseLogRecord('2026-11-22T02:00:00.123456789+01:00 stdout F hello  world')).toEqual({
      at: '2026-11-22T01:00:00.123Z',
      stream: 'stdout',
      full: true,
      text: 'hello  world',
    });
    expect(parseLogRecord('2026-11-22T02:00:00.123456789Z stderr P ')).toMatchObject({
      full: false,
      text: '',
    });
    expect(parseLogRecord('2026-11-22T02:00:00.123456789Z stdout F')).toMatchObject({ full: true, text: '' });
  });

  it.each(['', 'half a rec', '2026-11-22T02:00:00Z stdin F x', 'yesterday-at-ten-o-clock stdout F x'])(
    'takes no notice of %j',
    (record) => {
      expect(parseLogRecord(record)).toBeUndefined();
    },
  );
});

describe('cutText', () => {
  it('cuts at the limit without splitting a character, losing nothing', () => {
    const text = `${'a'.repeat(MAX_TEXT - 1)}😀${'b'.repeat(MAX_TEXT)}`;
    const parts = cutText(text);
    expect(parts.join('')).toBe(text);
    expect(parts.every((part) => part.length <= MAX_TEXT && part.isWellFormed())).toBe(true);
  });

  it('replaces NUL, and drops the carriage return of a Windows line end', () => {
    expect(cutText('a\0b\r')).toEqual(['a\uFFFDb']);
  });
});
