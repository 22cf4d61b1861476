import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemExec } from '#libs/host';
import { eventually, type Fixture, makeFixture } from '../engine/engine-fixture.ts';

/** The kernel keeps one table of neighbours and one of connections for the whole machine, containers included. */
let f: Fixture;
beforeAll(async () => {
  f = await makeFixture();
});
afterAll(() => f?.dispose());

const neighbours = async () => {
  const [, ...rows] = (await readFile('/proc/net/stat/arp_cache', 'utf8')).trim().split('\n');
  const column = (index: number) =>
    rows.map((row) => Number.parseInt(row.trim().split(/\s+/)[index] ?? '0', 16));
  return { entries: column(0)[0] ?? 0 };
};

/** Sends one packet to each address that a /22 around its own has. */
const SCAN = `const { address } = require('node:os').networkInterfaces().eth0.find(({ family }) => family === 'IPv4');
  const [a, b, c] = address.split('.').map(Number), socket = require('node:dgram').createSocket('udp4');
  socket.on('error', () => {});
  (async () => {
    for (let n = 1; n < 1023; n++) {
      const to = [a, b, (c & ~3) + (n >> 8), n & 255].join('.');
      await new Promise((done) => socket.send('x', 9, to, done));
    }
    console.log('scanned'); setTimeout(() => {}, 60_000);
  })();`;

it('knows no neighbour but its gateway, so that it cannot fill the table', async () => {
  const before = await neighbours();
  await f.engine.create(f.nodeSpec('inst_scan', SCAN, { network: 'bridge' }));
  await f.engine.start('inst_scan');
  await eventually('the scan', async () => (await f.output('inst_scan')).includes('scanned') || undefined);
  const { entries } = await neighbours();
  expect(entries - before.entries).toBeLessThan(50);
  await f.engine.remove('inst_scan');
});

it('has no IPv6 but on its own loopback', async () => {
  const { output } = await f.run(f.spec('inst_six', 'cat /proc/net/if_inet6', { network: 'bridge' }));
  expect(output).toMatch(/ lo$/);
  expect(output).not.toContain('eth0');
  const listens = `require('node:net').createServer().listen({ host: '::', port: 80 }, () => { console.log('up'); process.exit(); });`;
  expect((await f.run(f.nodeSpec('inst_any', listens, { network: 'bridge' }))).output).toBe('up');
  for (const id of ['inst_six', 'inst_any']) await f.engine.remove(id);
});

it('leaves no way to an address behind, and nobody looks for it elsewhere', async () => {
  const { address } = await f.engine.create(f.spec('inst_gone', 'sleep 60', { network: 'bridge' }));
  const route = async () => (await systemExec.run('ip', ['-4', 'route', 'show', `${address}/32`])).stdout;
  expect(await route()).toContain(' scope link');
  await f.engine.remove('inst_gone');
  expect(await route()).toBe('');
  const socket = createSocket('udp4');
  const error = await new Promise((done) => socket.send('x', 9, address ?? '', done));
  expect(error).toMatchObject({ code: 'EPERM' }); // rejected by the rules before it leaves
  socket.close();
});

it('has no more connections than its share, and gets it back soon', async () => {
  const total = Number(await readFile('/proc/sys/net/netfilter/nf_conntrack_max', 'utf8'));
  const share = Math.max(1024, Math.floor(total / 64));
  const sink = await f.engine.create(f.spec('inst_sink', 'sleep 60', { network: 'bridge' }));
  const flood = `const socket = require('node:dgram').createSocket('udp4').on('error', () => {});
    (async () => { for (let port = 1; port < ${Math.min(60_000, share * 2)}; port++)
      await new Promise((done) => socket.send('x', port, '${sink.address}', done)); console.log('sent'); process.exit(); })();`;
  const { address } = await f.engine.create(f.nodeSpec('inst_flood', flood, { network: 'bridge' }));
  await f.engine.start('inst_flood');
  await f.engine.wait('inst_flood');
  const table = (await readFile('/proc/net/nf_conntrack', 'utf8')).split('\n');
  const flows = table.filter((line) => line.includes(`src=${address} `));
  expect(flows.length).toBeGreaterThan(share / 4);
  expect(flows.length).toBeLessThanOrEqual(share + 10);
  const secondsLeft = flows.map((line) => Number(line.trim().split(/\s+/)[4]));
  expect(Math.max(...secondsLeft)).toBeLessThanOrEqual(10);
  for (const id of ['inst_flood', 'inst_sink']) await f.engine.remove(id);
});
