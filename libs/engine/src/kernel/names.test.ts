import { expect, it } from 'vitest';
import { kernelNames } from './names.ts';
import { signalNumber } from './process-identity.ts';

it('derives every name from the installation’s id, within what the kernel takes', () => {
  const names = kernelNames('a1b2c');
  for (const name of Object.values(names)) expect(name).toContain('a1b2c');
  expect(`${names.linkPrefix}v${(2 ** 22 - 1).toString(36)}`.length).toBeLessThanOrEqual(15);
  for (const id of ['', 'abcd', 'abcdef', 'ABCDE', 'ab/de', '../..'])
    expect(() => kernelNames(id)).toThrow('installation id');
});

it('knows signals by name and number', () => {
  expect(signalNumber('SIGTERM')).toBe(15);
  expect(signalNumber('int')).toBe(2);
  expect(signalNumber('9')).toBe(9);
  expect(signalNumber('SIGRTMIN+3')).toBe(37);
  for (const name of ['', '0', '65', 'SIGNONE', 'constructor'])
    expect(() => signalNumber(name)).toThrow('is not a signal');
});
