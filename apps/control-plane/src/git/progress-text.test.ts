import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { terminalLines } from './progress-text.ts';

describe('terminalLines', () => {
  it('keeps text, tabs and lines; takes colours, cursor movements, titles and overrides out', () => {
    const text = 'plain\tä ✓\n\u001b[31mred\u001b[0m\u001b[2J\r\n\u001b]0;title\u0007x\u0008y\u202ez\u009b1m';
    expect(terminalLines(text).slice(0, 2)).toEqual(['plain\tä ✓', 'red']);
    expect(terminalLines(text).join('')).not.toMatch(/(?!\t)[\p{Cc}\u202e]/u);
  });

  it('cuts long lines', () => {
    expect(terminalLines('x'.repeat(5_000))[0]).toHaveLength(2_001);
  });

  it('never lets a control character through', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(terminalLines(text).join('')).not.toMatch(/(?!\t)\p{Cc}/u);
      }),
    );
  });
});
