import { appendFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#libs/host';
import { silentLogger } from '#libs/log';
import { ControlPlane } from '../control-plane/control-plane.ts';
import { makeId } from '../testing/desired.ts';
import { FakeControlPlane, NODE_TOKEN } from '../testing/fake-control-plane.ts';
import type { LoggedContainer } from './followed-log.ts';
import { LogOffsets } from './log-offsets.ts';
import { LogShipper } from './log-shipper.ts';

let folder: string;
let controlPlane: FakeControlPlane;
let link: ControlPlane;
let shipper: LogShipper;
let container: LoggedContainer;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'shipper-test-'));
  controlPlane = new FakeControlPlane();
  await controlPlane.up();
  link = new ControlPlane({
    url: controlPlane.url,
    token: NODE_TOKEN,
    clock: systemClock,
    log: silentLogger(),
  });
  container = {
    containerId: 'c1',
    instanceId: makeId('ins'),
    createdAtMs: 1,
    logFile: path.join(folder, 'log'),
  };
  await writeFile(container.logFile, '');
  shipper = await openShipper();
});
afterEach(async () => {
  await shipper.close();
  await controlPlane.down();
  await rm(folder, { recursive: true, force: true });
});

async function openShipper(): Promise<LogShipper> {
  const offsets = new LogOffsets(path.join(folder, 'offsets'));
  await offsets.open(new Set([container.containerId]));
  return new LogShipper({ controlPlane: link, offsets, clock: systemClock, log: silentLogger() });
}

const record = (text: string) => `${new Date().toISOString()} stdout F ${text}\n`;
const arrived = () => controlPlane.logs.map((line) => line.text);

describe('LogShipper', () => {
  it('sends ten thousand lines once each and in order, in bounded batches', async () => {
    const lines = Array.from({ length: 10_000 }, (_, n) => `line ${n}`);
    await appendFile(container.logFile, lines.map(record).join(''));
    await shipper.follow(container);
    await controlPlane.until(() => (controlPlane.logs.length >= lines.length ? true : undefined));
    expect(arrived()).toEqual(lines);
  });

  it('keeps lines in the file while the control plane is away, and sends each once when it is back', async () => {
    await shipper.follow(container);
    await appendFile(container.logFile, record('before'));
    await controlPlane.until(() => arrived().at(-1) === 'before' || undefined);
    await controlPlane.down();
    await appendFile(container.logFile, record('meanwhile 1'));
    await shipper.drain(container.containerId, 300);
    await appendFile(container.logFile, record('meanwhile 2'));
    await controlPlane.up();
    await controlPlane.until(() => arrived().at(-1) === 'meanwhile 2' || undefined);
    expect(arrived()).toEqual(['before', 'meanwhile 1', 'meanwhile 2']);
  });

  it('sends the log of a removed container to its end, also when that was not possible before', async () => {
    await shipper.follow(container);
    await controlPlane.down();
    await appendFile(container.logFile, record('last words'));
    shipper.noteEnd(container.containerId, 'Process exited with status 1');
    await shipper.drain(container.containerId, 300);
    await shipper.release(container.containerId);
    await rm(container.logFile);
    await controlPlane.up();
    await controlPlane.until(() => (arrived().length === 2 ? true : undefined));
    expect(arrived()).toEqual(['last words', 'Process exited with status 1']);
    expect(await readdir(path.join(folder, 'offsets'))).toEqual([]);
  });

  it('has sent everything when drain returns', async () => {
    await shipper.follow(container);
    await appendFile(container.logFile, Array.from({ length: 3_000 }, (_, n) => record(`${n}`)).join(''));
    await shipper.drain(container.containerId, 5_000);
    expect(arrived()).toHaveLength(3_000);
  });

  it('goes on after a restart without a line twice or missing', async () => {
    await shipper.follow(container);
    await appendFile(container.logFile, record('1'));
    await controlPlane.until(() => arrived().at(-1) === '1' || undefined);
    await shipper.close();
    await appendFile(container.logFile, record('2'));
    shipper = await openShipper();
    await shipper.follow(container);
    await controlPlane.until(() => arrived().at(-1) === '2' || undefined);
    expect(arrived()).toEqual(['1', '2']);
  });
});
