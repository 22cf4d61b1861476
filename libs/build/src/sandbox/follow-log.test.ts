import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '#libs/host';
import { LogFollower } from './follow-log.ts';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'gantry-log-'));
  file = path.join(folder, 'container.log');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const at = '2026-11-22T02:35:19.188343297+00:00';

describe('LogFollower', () => {
  it('waits for the file, joins partial records and delivers what is there at the end', async () => {
    const lines: string[] = [];
    const follower = new LogFollower(file, (line) => lines.push(line), systemClock);
    await appendFile(file, `${at} stdout F one\n${at} stderr P tw`);
    await vi.waitFor(() => expect(lines).toEqual(['one']));
    await appendFile(file, `o and \n${at} stderr F three\n${at} stdout F \n${at} stdout P unfinished`);
    await follower.finish();
    expect(lines).toEqual(['one', 'two and three', '', 'unfinished']);
  });

  it('keeps characters whole that are written in two pieces', async () => {
    const lines: string[] = [];
    const follower = new LogFollower(file, (line) => lines.push(line), systemClock);
    const bytes = Buffer.from(`${at} stdout F grüße\n`);
    const split = bytes.indexOf(0xc3) + 1;
    await appendFile(file, bytes.subarray(0, split));
    await systemClock.sleep(60); // let it read the first half of the character
    await appendFile(file, bytes.subarray(split));
    await follower.finish();
    expect(lines).toEqual(['grüße']);
  });

  it('is quiet when there never was a log', async () => {
    const lines: string[] = [];
    await new LogFollower(file, (line) => lines.push(line), systemClock).finish();
    expect(lines).toEqual([]);
  });
});
