import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertOutside, isOutside } from './address-guard.ts';
import { RegistryClient } from './registry-client.ts';

describe('isOutside', () => {
  it.each(['10.1.2.3', '192.168.0.7', '172.16.0.1', '203.0.113.5', '100.63.0.1', '2001:db8::1', 'fd12::5'])(
    '%s is',
    (address) => expect(isOutside(address)).toBe(true),
  );
  it.each([
    ...['127.0.0.1', '127.8.8.8', '0.0.0.0', '169.254.169.254', '100.64.0.1', '100.127.255.255', '224.0.0.1'],
    ...['255.255.255.255', '::', '::1', 'fe80::1', 'ff02::1', '::ffff:127.0.0.1', '::ffff:a9fe:a9fe'],
    ...['64:ff9b::7f00:1', '2002:7f00:1::', 'fd00:ec2::254', 'localhost', ''],
  ])('%s is not', (address) => expect(isOutside(address)).toBe(false));

  it('sees through other ways to write an address', () => {
    for (const host of ['127.1', '2130706433', '0x7f.1', '[::1]', '0']) {
      expect(() => assertOutside(new URL(`http://${host}:5000/`)), host).toThrow('no image is fetched from');
    }
    expect(() => assertOutside(new URL('http://localhost:5000/'))).not.toThrow(); // judged at the look-up
  });
});

describe('a client that may only reach outside', () => {
  let asked: string[];
  let server: ReturnType<typeof createServer>;
  beforeEach(async () => {
    asked = [];
    server = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  it.each(['127.0.0.1', 'localhost'])('asks nothing of %s', async (host) => {
    const { port } = server.address() as AddressInfo;
    const registry = `${host}:${port}`;
    const client = new RegistryClient({ registry, insecure: true, reach: 'outside' });
    await expect(client.resolve({ repository: 'a/b', tag: 'x' })).rejects.toMatchObject({
      code: 'forbidden',
    });
    await client.close();
    expect(asked).toEqual([]);
    const trusted = new RegistryClient({ registry, insecure: true });
    await trusted.resolve({ repository: 'a/b', tag: 'x' });
    await trusted.close();
    expect(asked).toEqual(['/v2/a/b/manifests/x']);
  });
});
