import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import type { Exec } from '#libs/host';

const NftTables = z.object({
  nftables: z.array(z.object({ table: z.object({ name: z.string() }).optional() })),
});

export interface FirewallState {
  /** Name of the table, which is all that the engine touches. */
  table: string;
  /** What the names of all bridges and links of the installation begin with. */
  linkPrefix: string;
  bridges: { name: string; subnet: string }[];
  /** Name servers that containers are told to use; reachable on the host too, if that is where they are. */
  nameServers: string[];
}

/**
 * The rules, as one transaction that replaces the table. Traffic is judged by the bridge it comes from or goes to:
 * - between containers only within one bridge; nothing else may begin a connection to a container through this machine
 *   (the host itself may: that is output, not forward);
 * - link-local addresses, where clouds keep credentials, are out of reach;
 * - the host answers echo requests and name queries that are meant for it, and nothing else.
 */
export function firewallRules({ table, linkPrefix, bridges, nameServers }: FirewallState): string {
  const ours = `"${linkPrefix}*"`;
  const pairs = bridges.map(({ name }) => `"${name}" . "${name}"`).join(', ');
  const subnets = bridges.map(({ subnet }) => subnet).join(', ');
  const servers = nameServers.join(', ');
  return `table inet ${table}
delete table inet ${table}
table inet ${table} {
  chain forward {
    type filter hook forward priority filter; policy accept;
    ${pairs ? `iifname . oifname { ${pairs} } accept` : ''}
    iifname ${ours} ip daddr 169.254.0.0/16 drop
    iifname ${ours} meta nfproto ipv6 drop
    oifname ${ours} ct state established,related accept
    oifname ${ours} drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname != ${ours} accept
    ct state established,related accept
    icmp type echo-request accept
    ${servers ? `ip daddr { ${servers} } meta l4proto { tcp, udp } th dport 53 accept` : ''}
    drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ${subnets ? `ip saddr { ${subnets} } oifname != ${ours} masquerade` : ''}
  }
}
`;
}

/** Puts the rules in force. Throws `unsupported` when the kernel does not take them. */
export async function applyFirewall(exec: Exec, nft: string, state: FirewallState): Promise<void> {
  const result = await exec.tryRun(nft, ['-f', '-'], { input: firewallRules(state), timeoutMs: 30_000 });
  if (result.code === 0) return;
  throw new PlatformError(
    'unsupported',
    `nft refused the rules of table ${state.table}: ${result.stderr.trim()}`,
    {
      hint: 'the kernel needs nf_tables with NAT and connection tracking',
    },
  );
}

/** Whether a table of this name is in force. */
export async function hasTable(exec: Exec, nft: string, table: string): Promise<boolean> {
  const { stdout } = await exec.run(nft, ['--json', 'list', 'tables'], {
    maxOutputBytes: 16 << 20,
    timeoutMs: 30_000,
  });
  return NftTables.parse(JSON.parse(stdout)).nftables.some((entry) => entry.table?.name === table);
}
