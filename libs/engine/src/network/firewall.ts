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
 * The kernel's table of connections is one for the whole machine. Each container has a share of it; further connections
 * are not begun. One that is over, or that nobody answers, gives its place back sooner than the kernel would by itself
 * (120 s and 30 s), so that a share serves some 250 new connections a second.
 */
function flowRules(ours: string, perContainer: number): { objects: string; timeouts: string; limit: string } {
  return {
    objects: `ct timeout brief_tcp {
    protocol tcp; l3proto ip;
    policy = { syn_sent: 20, syn_recv: 20, fin_wait: 30, close_wait: 30, last_ack: 15, time_wait: 15 };
  }
  ct timeout brief_udp { protocol udp; l3proto ip; policy = { unreplied: 10, replied: 60 }; }
  set containers { type ipv4_addr; size 65535; flags dynamic; }`,
    timeouts: `chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    iifname ${ours} ct state new ip protocol tcp ct timeout set "brief_tcp"
    iifname ${ours} ct state new ip protocol udp ct timeout set "brief_udp"
  }`,
    limit: `iifname ${ours} ct state new add @containers { ip saddr ct count over ${perContainer} } drop`,
  };
}

/**
 * The rules, as one transaction that replaces the table. Traffic is judged by the bridge it comes from or goes to:
 * - a container may have so many connections at once;
 * - between containers only within one bridge; nothing else may begin a connection to a container through this machine
 *   (the host itself may: that is output, not forward);
 * - an address of ours that no container has is nowhere: without its route it would be looked for elsewhere;
 * - link-local addresses, where clouds keep credentials, are out of reach;
 * - the host answers echo requests and name queries that are meant for it, and nothing else.
 */
export function firewallRules(
  { table, linkPrefix, bridges, nameServers }: FirewallState,
  flowsPerContainer?: number,
): string {
  const ours = `"${linkPrefix}*"`;
  const pairs = bridges.map(({ name }) => `"${name}" . "${name}"`).join(', ');
  const subnets = bridges.map(({ subnet }) => subnet).join(', ');
  const servers = nameServers.join(', ');
  const flows = flowsPerContainer === undefined ? undefined : flowRules(ours, flowsPerContainer);
  return `table inet ${table}
delete table inet ${table}
table inet ${table} {
  ${flows?.objects ?? ''}
  ${flows?.timeouts ?? ''}
  chain forward {
    type filter hook forward priority filter; policy accept;
    ${flows?.limit ?? ''}
    ${pairs ? `iifname . oifname { ${pairs} } accept` : ''}
    iifname ${ours} ip daddr 169.254.0.0/16 drop
    iifname ${ours} meta nfproto ipv6 drop
    ${subnets ? `iifname ${ours} ip daddr { ${subnets} } drop` : ''}
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
  chain output {
    type filter hook output priority filter; policy accept;
    ${subnets ? `ip daddr { ${subnets} } oifname != ${ours} oifname != "lo" reject` : ''}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ${subnets ? `ip saddr { ${subnets} } oifname != ${ours} masquerade` : ''}
  }
}
`;
}

/**
 * Puts the rules in force, with the limit if the kernel can count connections; false when it cannot. Throws
 * `unsupported` when it does not take the rules at all.
 */
export async function applyFirewall(
  exec: Exec,
  nft: string,
  state: FirewallState,
  flowsPerContainer: number,
): Promise<boolean> {
  const apply = (rules: string) => exec.tryRun(nft, ['-f', '-'], { input: rules, timeoutMs: 30_000 });
  if ((await apply(firewallRules(state, flowsPerContainer))).code === 0) return true;
  const result = await apply(firewallRules(state));
  if (result.code === 0) return false;
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
