import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { terminalLines } from './progress-text.ts';

describe('terminalLines', () => {
  it('keeps text, tabs and lines; takes colours, cursor movements, titles and overrides out', () => {
    const text = 'plain\tä ✓\n\u001b[31mred\u001b[0m\u001b[2J\r\n\u001b]0;title\u0007x\u0008y\u202ez\u009b1m';
    expect(terminalLines(text)).toEqual(['plain\tä ✓', 'red', 'xyz']);
    expect(terminalLines(text).join('')).not.toMatch(/(?!\t)[\p{Cc}\u202e]/u);
  });

  it.each(['\u001b]', '\u001b[', '\u001b];', '\u001b[1;', '\u009b', '\u001bP', '\u001b]a\u001b'])(
    'takes no longer for hostile text than its length asks: %j',
    (unit) => {
      const timeOf = (count: number) => {
        const startedAt = performance.now();
        terminalLines(unit.repeat(count));
        return performance.now() - startedAt;
      };
      timeOf(1_000);
      // Quadratic work would take minutes for the long text.
      expect(timeOf(1_000_000)).toBeLessThan(3_000);
    },
  );

  it('cuts long lines', () => {
    expect(terminalLines('x'.repeat(5_000))[0]).toHaveLength(2_001);
  });

  it('never lets a control character through', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0x2070 })), (codes) => {
        const text = String.fromCodePoint(...codes);
        expect(terminalLines(text).join('')).not.toMatch(/(?!\t)\p{Cc}/u);
      }),
    );
  });
});
