import type { ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemExec } from '#libs/host';
import { eventually, type Fixture, makeFixture } from './engine-fixture.ts';

/** A place beyond the machine: a network namespace that is routed to, with a name server and an echo of who calls. */
interface Outside {
  hostAddress: string;
  address: string;
  dispose(): Promise<void>;
}

const OUTSIDE_PROGRAM = `
  const net = require('node:net'), dgram = require('node:dgram');
  net.createServer((socket) => { socket.on('error', () => {}); socket.end('you are ' + socket.remoteAddress); }).listen(7000, '0.0.0.0');
  const dns = dgram.createSocket('udp4');
  dns.on('message', (query, from) => {
    const head = Buffer.from(query.subarray(0, 12)); head.writeUInt16BE(0x8180, 2); head.writeUInt16BE(1, 6); head.writeUInt16BE(0, 10);
    const end = query.indexOf(0, 12) + 5;
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77]);
    dns.send(Buffer.concat([head, query.subarray(12, end), answer]), from.port, from.address);
  });
  dns.bind(53, '0.0.0.0', () => console.log('ready'));`;

async function makeOutside(): Promise<Outside> {
  const tag = randomInt(0, 2 ** 14);
  const name = `gtout${tag.toString(36)}`;
  const base = `198.18.${tag >> 6}.${(tag & 63) * 4}`;
  const at = (last: number) => base.replace(/\d+$/, (text) => String(Number(text) + last));
  const ip = (...args: string[]) => systemExec.run('ip', args);
  await ip('netns', 'add', name);
  await ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  await ip('addr', 'add', `${at(1)}/30`, 'dev', name);
  await ip('link', 'set', name, 'up');
  await ip('-n', name, 'addr', 'add', `${at(2)}/30`, 'dev', 'eth0');
  await ip('-n', name, 'link', 'set', 'eth0', 'up');
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  const server: ChildProcess = systemExec.spawn(
    'ip',
    ['netns', 'exec', name, process.execPath, '-e', OUTSIDE_PROGRAM],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  if (server.stdout) await once(server.stdout, 'data');
  return {
    hostAddress: at(1),
    address: at(2),
    dispose: async () => {
      const ended = once(server, 'close');
      server.kill('SIGKILL');
      await ended;
      await ip('netns', 'del', name);
      await ip('link', 'del', name).catch(() => {}); // gone with its peer, sooner or later
    },
  };
}

let outside: Outside;
let f: Fixture;
beforeAll(async () => {
  outside = await makeOutside();
  f = await makeFixture({ nameServers: [outside.address] });
});
afterAll(async () => {
  await f?.dispose();
  await outside?.dispose();
});

/** Says what came over a connection, or how it failed. */
const client = (host: string, port: number) => `
  const socket = require('node:net').connect({ host: '${host}', port: ${port}, timeout: 1500 });
  let text = ''; socket.on('data', (chunk) => (text += chunk));
  socket.on('timeout', () => { console.log('TIMEOUT'); process.exit(); });
  socket.on('error', (error) => { console.log(error.code); process.exit(); });
  socket.on('end', () => console.log(text));`;

const SERVER = `require('node:net').createServer((s) => s.end('served to ' + s.remoteAddress)).listen(8080, '0.0.0.0', () => console.log('up'));`;

async function call(host: string, port: number, organizationId = 'org_a'): Promise<string> {
  const id = `inst_call`;
  const { output } = await f.run(f.nodeSpec(id, client(host, port), { network: 'bridge', organizationId }));
  await f.engine.remove(id);
  return output;
}

async function serve(id: string, organizationId: string): Promise<string> {
  await f.engine.create(f.nodeSpec(id, SERVER, { network: 'bridge', organizationId }));
  const { address } = await f.engine.start(id);
  await eventually('the server', async () => (await f.output(id)).includes('up') || undefined);
  return address ?? '';
}

/** What the host itself gets from an address. */
function fromHost(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    connect({ host, port })
      .on('data', (chunk) => {
        text += chunk.toString();
      })
      .on('end', () => resolve(text))
      .on('error', reject);
  });
}

async function listen(address: string): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => socket.end('the host')).listen(0, address);
  await once(server, 'listening');
  const bound = server.address();
  return { server, port: typeof bound === 'object' && bound ? bound.port : 0 };
}

describe('a container’s network', () => {
  it('reaches the world behind the machine’s own address, by TCP and by name', async () => {
    expect(await call(outside.address, 7000)).toBe(`you are ${outside.hostAddress}`);
    const lookup = `require('node:dns').resolve4('registry.example.org', (error, all) => console.log(error?.code ?? all.join()));`;
    const { output } = await f.run(f.nodeSpec('inst_dns', lookup, { network: 'bridge' }));
    await f.engine.remove('inst_dns');
    expect(output).toBe('192.0.2.77');
  });

  it('is reached by the host and by its own organization, not by another one', async () => {
    const address = await serve('inst_server', 'org_a');
    expect(address).toMatch(/^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./);
    expect(await fromHost(address, 8080)).toMatch(/^served to 100\./);
    expect(await call(address, 8080, 'org_a')).toMatch(/^served to 100\./);
    expect(await call(address, 8080, 'org_b')).toBe('TIMEOUT');
    await f.engine.remove('inst_server');
  });

  it('cannot be reached through this machine by a neighbour on its other links', async () => {
    const address = await serve('inst_server', 'org_a');
    const name = (await systemExec.run('ip', ['-json', 'route', 'get', outside.address])).stdout;
    const namespace = /"dev":"([^"]+)"/.exec(name)?.[1] ?? '';
    await systemExec.run('ip', [
      '-n',
      namespace,
      'route',
      'add',
      '100.64.0.0/10',
      'via',
      outside.hostAddress,
    ]);
    const { stdout } = await systemExec.run('ip', [
      'netns',
      'exec',
      namespace,
      process.execPath,
      '-e',
      client(address, 8080),
    ]);
    expect(stdout.trim()).toBe('TIMEOUT');
    await systemExec.run('ip', ['-n', namespace, 'route', 'del', '100.64.0.0/10']);
    await f.engine.remove('inst_server');
  });

  it('does not reach servers on the host, at whatever address', async () => {
    const { server, port } = await listen('0.0.0.0');
    expect(await fromHost(outside.hostAddress, port)).toBe('the host');
    expect(await call(outside.hostAddress, port)).toBe('TIMEOUT');
    const bridge = (await serve('inst_server', 'org_a')).replace(/\d+$/, '1');
    await f.engine.remove('inst_server');
    expect(['TIMEOUT', 'EHOSTUNREACH']).toContain(await call(bridge, port));
    expect(await call('169.254.169.254', 80)).toBe('TIMEOUT');
    server.close();
  });

  it('lets an unprivileged app listen on port 80, and tells it its own name', async () => {
    const program = `require('node:net').createServer().listen(80, () => {
      require('node:dns').lookup(require('node:os').hostname(), (error, own) => { console.log(own); process.exit(); }); });`;
    await f.engine.create(f.nodeSpec('inst_eighty', program, { network: 'bridge' }));
    const { address } = await f.engine.start('inst_eighty');
    expect(await f.engine.wait('inst_eighty')).toMatchObject({ code: 0 });
    expect(await f.output('inst_eighty')).toBe(address);
    await f.engine.remove('inst_eighty');
  });

  it('puts the rules back when a restart of the host’s firewall has flushed them', async () => {
    const address = await serve('inst_server', 'org_a');
    const table = `gantry_${f.installationId}`;
    // This is what the rules are for. The engine may be quicker to put them back than the call is to come through.
    await eventually('an open way while they are gone', async () => {
      await systemExec.tryRun('nft', ['delete', 'table', 'inet', table]);
      return (await call(address, 8080, 'org_b')) !== 'TIMEOUT' || undefined;
    });
    await eventually('the rules to come back', async () => {
      const { code } = await systemExec.tryRun('nft', ['list', 'table', 'inet', table]);
      return code === 0 || undefined;
    });
    expect(await call(address, 8080, 'org_b')).toBe('TIMEOUT');
    await f.engine.remove('inst_server');
  });

  it('keeps the bridge’s hardware address as containers come and go, so that none answers to a stale one', async () => {
    const gateway = (await serve('inst_first', 'org_a')).replace(/\d+$/, '1');
    const { stdout } = await systemExec.run('ip', ['-json', 'address', 'show', 'to', gateway]);
    const bridge = (JSON.parse(stdout) as { ifname?: string }[]).find(({ ifname }) => ifname)?.ifname;
    const hardwareAddress = () => readFile(`/sys/class/net/${bridge}/address`, 'utf8');
    const first = await hardwareAddress();
    await serve('inst_second', 'org_a');
    await f.engine.remove('inst_first');
    expect(await hardwareAddress()).toBe(first);
    await f.engine.remove('inst_second');
  });

  it('gives every container an address of its own, and takes no range that the machine routes', async () => {
    const ids = Array.from({ length: 6 }, (_, index) => `inst_many_${index}`);
    const made = await Promise.all(
      ids.map((id, index) =>
        f.engine.create(f.spec(id, 'sleep 100', { network: 'bridge', organizationId: `org_${index % 3}` })),
      ),
    );
    expect(new Set(made.map(({ address }) => address)).size).toBe(6);
    const subnets = new Set(made.map(({ address }) => address?.replace(/\.\d+$/, '')));
    expect(subnets.size).toBe(3);
    await Promise.all(ids.map((id) => f.engine.remove(id)));
  });
});
