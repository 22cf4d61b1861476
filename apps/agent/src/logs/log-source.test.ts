import { appendFile, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_TEXT } from './log-line.ts';
import { LogSource } from './log-source.ts';

let folder: string;
let file: string;
let source: LogSource;
let seconds = 0;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'log-test-'));
  file = path.join(folder, 'log');
  seconds = 0;
  source = new LogSource('ins_x', file, undefined);
});
afterEach(async () => {
  await source.close();
  await rm(folder, { recursive: true, force: true });
});

function record(text: string, stream = 'stdout', tag = 'F'): string {
  seconds += 1;
  return `${new Date(seconds * 1000).toISOString().replace('Z', '000000Z')} ${stream} ${tag} ${text}\n`;
}

async function texts(from = source, maxEntries = 1_000): Promise<string[]> {
  const found: string[] = [];
  for (let chunk = await from.read(maxEntries); chunk; chunk = await from.read(maxEntries)) {
    found.push(...chunk.entries.map((entry) => entry.text));
  }
  return found;
}

describe('LogSource', () => {
  it('waits for the file, then reads what is added, in chunks as small as asked for', async () => {
    expect(await texts()).toEqual([]);
    await writeFile(file, record('1') + record('2') + record('3'));
    expect((await source.read(2))?.entries.map((entry) => entry.text)).toEqual(['1', '2']);
    await appendFile(file, record('4').slice(0, -4));
    expect(await texts()).toEqual(['3']);
  });

  it('goes on where it was after a restart, but from the start of a file that is another one', async () => {
    await writeFile(file, record('1') + record('2'));
    const resumeAt = (await source.read(1))?.resumeAt;
    const resumed = new LogSource('ins_x', file, resumeAt);
    expect(await texts(resumed)).toEqual(['2']);
    await resumed.close();
    await writeFile(`${file}.new`, record('3') + record('4'));
    await rename(`${file}.new`, file);
    const other = new LogSource('ins_x', file, resumeAt);
    expect(await texts(other)).toEqual(['3', '4']);
    await other.close();
  });

  it('reads a replaced file to its end before the new one', async () => {
    await writeFile(file, record('1'));
    await texts();
    await appendFile(file, record('2'));
    await rename(file, `${file}.1`);
    await writeFile(file, record('3'));
    expect(await texts()).toEqual(['2', '3']);
  });

  it('starts over when the file was truncated', async () => {
    await writeFile(file, record('1') + record('2'));
    await texts();
    await truncate(file, 0);
    await appendFile(file, record('3'));
    expect(await texts()).toEqual(['3']);
  });

  it('can be read to the end after the file was deleted', async () => {
    await writeFile(file, record('1'));
    await source.keepOpen();
    await rm(file);
    expect(await texts()).toEqual(['1']);
  });

  it('joins the parts of a line per stream, and resumes before one that is not whole', async () => {
    await writeFile(file, record('a', 'stdout', 'P') + record('err', 'stderr') + record('b', 'stdout', 'P'));
    const chunk = await source.read(10);
    expect(chunk?.entries.map((entry) => entry.text)).toEqual(['err']);
    expect(chunk?.resumeAt.offset).toBe(0);
    await appendFile(file, record('c'));
    expect(await texts()).toEqual(['abc']);
  });

  it('cuts a line without end instead of keeping it in memory', async () => {
    const part = 'x'.repeat(8_192);
    await writeFile(file, Array.from({ length: 5 }, () => record(part, 'stdout', 'P')).join(''));
    const found = await texts();
    expect(found.length).toBeGreaterThanOrEqual(2);
    expect(found.every((text) => text.length <= MAX_TEXT)).toBe(true);
  });

  it('survives what no writer would write', async () => {
    await writeFile(file, `${'\xff'.repeat(400_000)}\n${record('after')}`);
    expect(await texts()).toEqual(['after']);
  });

  it("puts the platform's lines where they belong, the last after all of the process's, whatever the clocks say", async () => {
    await writeFile(file, record('first') + record('second') + record('unfinished', 'stderr', 'P'));
    source.note('started', 500);
    source.noteEnd('ended', 1_500);
    expect(await texts()).toEqual(['started', 'first', 'second']);
    source.end();
    const chunk = await source.read(10);
    expect(chunk?.entries.map((entry) => entry.text)).toEqual(['unfinished', 'ended']);
    expect(chunk?.entries[1]?.at).toBe(chunk?.entries[0]?.at);
  });
});
