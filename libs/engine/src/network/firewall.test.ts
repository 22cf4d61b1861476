import { expect, it } from 'vitest';
import { firewallRules } from './firewall.ts';

const empty = { table: 'gantry_abcde', linkPrefix: 'gtabcde', bridges: [], nameServers: [] };

it('replaces the table in one transaction, and denies before there is any bridge', () => {
  const rules = firewallRules(empty);
  expect(rules.split('\n').slice(0, 3)).toEqual([
    'table inet gantry_abcde',
    'delete table inet gantry_abcde',
    'table inet gantry_abcde {',
  ]);
  expect(rules).toContain('oifname "gtabcde*" drop');
  expect(rules).not.toContain('masquerade');
});

it('lets a bridge speak to itself only, and hides its subnet', () => {
  const bridges = [
    { name: 'gtabcdeb0', subnet: '100.64.0.0/22' },
    { name: 'gtabcdeb1', subnet: '100.64.4.0/22' },
  ];
  const rules = firewallRules({ ...empty, bridges, nameServers: ['192.0.2.53'] });
  expect(rules).toContain(
    'iifname . oifname { "gtabcdeb0" . "gtabcdeb0", "gtabcdeb1" . "gtabcdeb1" } accept',
  );
  expect(rules).toContain('ip saddr { 100.64.0.0/22, 100.64.4.0/22 } oifname != "gtabcde*" masquerade');
  expect(rules).toContain('ip daddr { 192.0.2.53 } meta l4proto { tcp, udp } th dport 53 accept');
});

it('keeps packets for addresses that no container has from leaving by another way', () => {
  const rules = firewallRules({ ...empty, bridges: [{ name: 'gtabcdeb0', subnet: '100.64.0.0/22' }] });
  expect(rules).toContain('iifname "gtabcde*" ip daddr { 100.64.0.0/22 } drop');
  expect(rules).toContain('ip daddr { 100.64.0.0/22 } oifname != "gtabcde*" oifname != "lo" reject');
  expect(rules.indexOf('"gtabcdeb0" . "gtabcdeb0"')).toBeLessThan(
    rules.indexOf('ip daddr { 100.64.0.0/22 } drop'),
  );
});

it('counts the connections of each container before it lets anything pass', () => {
  const rules = firewallRules(empty, 4096);
  expect(rules).toContain('add @containers { ip saddr ct count over 4096 } drop');
  expect(rules.indexOf('ct count')).toBeLessThan(rules.indexOf('established,related accept'));
  expect(firewallRules(empty)).not.toMatch(/ct count|ct timeout/);
});
