import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readReport } from './read-report.ts';

let layers: string;
beforeEach(async () => {
  layers = await mkdtemp(path.join(os.tmpdir(), 'gantry-report-'));
  for (const name of ['lifecycle', 'nodejs', 'procfile']) await mkdir(path.join(layers, name));
});
afterEach(() => rm(layers, { recursive: true, force: true }));
const put = (name: string, text: string) => writeFile(path.join(layers, 'lifecycle', name), text);

it('reads which buildpacks took part, the time of each stage and what failed', async () => {
  await put('group', 'nodejs\nprocfile\n');
  await put('events', 'extract 5\ndetect 10\nbuild nodejs 200\nbuild procfile failed 7 30\n');
  expect(await readReport(layers)).toEqual({
    group: ['nodejs', 'procfile'],
    timings: { extract: 5, detect: 10, build: 230 },
    failed: { stage: 'build', buildpack: 'procfile', code: 7 },
  });
});

it('takes from a forged report only what can be true', async () => {
  await put('group', 'nodejs\nnodejs\n../../etc\nlifecycle\nunknown\n');
  await put(
    'events',
    `build ${'9'.repeat(400)}\nbuild nodejs failed ${'9'.repeat(400)} 1\nbuild -5\nother 1\nbuild 7\n`,
  );
  const report = await readReport(layers);
  expect(report).toEqual({ group: ['nodejs'], timings: { build: 7 }, failed: undefined });
  expect(JSON.parse(JSON.stringify(report.timings))).toEqual(report.timings);
});
