import { expect, it } from 'vitest';
import { isDiskLow } from './disk-reserve.ts';

const GIB = 2 ** 30;
const disk = (totalBytes: number, freeBytes: number, totalInodes = 0, freeInodes = 0) =>
  isDiskLow({ totalBytes, freeBytes, totalInodes, freeInodes });

it('keeps a twentieth of a disk, within bounds', () => {
  expect(disk(20 * GIB, 1.1 * GIB)).toBe(false);
  expect(disk(20 * GIB, 0.9 * GIB)).toBe(true);
  expect(disk(1000 * GIB, 2.1 * GIB)).toBe(false);
  expect(disk(1000 * GIB, 1.9 * GIB)).toBe(true);
  expect(disk(1 * GIB, 0.2 * GIB)).toBe(true);
});

it('counts inodes where there are any', () => {
  expect(disk(20 * GIB, 10 * GIB, 1000, 51)).toBe(false);
  expect(disk(20 * GIB, 10 * GIB, 1000, 49)).toBe(true);
});
