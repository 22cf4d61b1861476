import { describe, expect, it } from 'vitest';
import { cleanLine, MAX_LINE_LENGTH, secretValues } from './clean-line.ts';

describe('cleanLine', () => {
  it('takes colours, cursor movements, titles and control characters out', () => {
    expect(cleanLine('\u001b[31mred\u001b[0m \u001b]0;title\u0007\u001b(Bdone\u0000\u0008')).toBe('red done');
    expect(cleanLine('a\u009b31mb\u2028c\u001b[2K')).toBe('a31mbc');
  });

  it('shows what a progress bar left on the line', () => {
    expect(cleanLine('10 %\r50 %\r100 %\r')).toBe('100 %');
  });

  it('cuts long lines', () => {
    expect(cleanLine('x'.repeat(10_000))).toBe(`${'x'.repeat(MAX_LINE_LENGTH)}…`);
  });

  it('hides secrets, also where escapes tried to split them', () => {
    expect(cleanLine('key=abc\u001b[0mdefgh!', ['abcdefgh'])).toBe('key=[hidden]!');
  });
});

describe('secretValues', () => {
  it('knows secrets by their names, and leaves short and harmless values alone', () => {
    const env = {
      API_TOKEN: 'abcdefgh',
      DATABASE_URL: 'postgres://u:p@h/d',
      NODE_ENV: 'production',
      PIN_SECRET: '1234',
    };
    expect(secretValues(env)).toEqual(['postgres://u:p@h/d', 'abcdefgh']);
  });
});
