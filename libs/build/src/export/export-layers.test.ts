import { expect, it } from 'vitest';
import { imageBudget } from './export-layers.ts';

it('lets all layers of an image together take so much, and says so once they take more', () => {
  const spend = imageBudget(10 * 2 ** 20);
  spend(6 * 2 ** 20);
  spend(4 * 2 ** 20);
  expect(() => spend(1)).toThrow('the image is larger than 10 MiB unpacked');
  expect(() => imageBudget()(5 * 2 ** 30)).not.toThrow();
  expect(() => imageBudget()(7 * 2 ** 30)).toThrow('6144 MiB');
});
