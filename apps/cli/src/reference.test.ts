import { readFile } from 'node:fs/promises';
import { afterEach, expect, test } from 'vitest';
import { TestCli } from './testing/test-cli.ts';

let cli: TestCli | undefined;
afterEach(() => cli?.remove());

test('docs/cli.md is what `gantry reference` prints', async () => {
  cli = await TestCli.create();
  const { code, stdout } = await cli.run(['reference']);
  expect(code).toBe(0);
  expect(await readFile(new URL('../../../docs/cli.md', import.meta.url), 'utf8')).toBe(stdout);
});
