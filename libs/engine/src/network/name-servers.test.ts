import { expect, it } from 'vitest';
import { reachableNameServers } from './name-servers.ts';

it('keeps IPv4 servers that a container can reach, three at most', () => {
  const text =
    '# comment\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.0.1 \n  nameserver 10.0.0.2\nsearch x\n';
  expect(reachableNameServers(text)).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(reachableNameServers('nameserver 9.9.9.9\n'.repeat(5))).toHaveLength(3);
  expect(reachableNameServers('')).toEqual([]);
});
