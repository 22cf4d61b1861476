import { describe, expect, it } from 'vitest';
import { launchEnvironment } from './launch-env.ts';

const layer = (path: string, more: object = {}) => ({
  path,
  hasBin: false,
  hasLib: false,
  variables: [],
  ...more,
});
const variable = (
  name: string,
  action: 'default' | 'override' | 'append' | 'prepend',
  value: string,
  delimiter = '',
) => ({ name, action, value, delimiter });

describe('launchEnvironment', () => {
  it("puts layers' bin and lib in front, later layers first", () => {
    const env = launchEnvironment(
      ['PATH=/usr/bin'],
      [layer('/layers/a/x', { hasBin: true }), layer('/layers/b/y', { hasBin: true, hasLib: true })],
    );
    expect(env).toEqual(['PATH=/layers/b/y/bin:/layers/a/x/bin:/usr/bin', 'LD_LIBRARY_PATH=/layers/b/y/lib']);
  });

  it('follows the rules for default, override, append and prepend', () => {
    const variables = [
      variable('LANG', 'default', 'de_DE'),
      variable('NEW', 'default', 'a=b'),
      variable('LANG2', 'override', 'x'),
      variable('PATH', 'append', '/late', ':'),
      variable('PATH', 'prepend', '/early', ':'),
    ];
    expect(launchEnvironment(['PATH=/bin', 'LANG=C', 'LANG2=C'], [layer('/l', { variables })])).toEqual([
      'PATH=/early:/bin:/late',
      'LANG=C',
      'LANG2=x',
      'NEW=a=b',
    ]);
  });
});
