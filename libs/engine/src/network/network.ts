import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import { type Exec, readFileIfExists, writeFileDurably } from '#libs/host';
import { createBridge, deleteLink, deleteRoute, linkIndex, type VethAttachment } from '../kernel/netlink.ts';
import { applyFirewall, hasTable } from './firewall.ts';
import { resolveNameServers } from './name-servers.ts';
import {
  type AddressRange,
  chooseSubnet,
  ipv4Number,
  ipv4Text,
  nextAddress,
  PREFIX_LENGTH,
  parseRange,
  SUBNET_SIZE,
} from './subnets.ts';

const Stored = z.object({
  organizations: z.record(z.string(), z.object({ bridge: z.string(), subnet: z.ipv4() })),
});
const Routes = z.array(z.object({ dst: z.string(), dev: z.string().optional() }));
const DEFAULT_MTU = 1500;

interface OrganizationNetwork {
  bridge: string;
  /** First address, as a number. */
  subnet: number;
}

/** What a container gets of the network; `link` is the host's end. */
export interface Endpoint {
  address: string;
  link: string;
}

export interface NetworkOptions {
  root: string;
  table: string;
  linkPrefix: string;
  nameServers: string[] | undefined;
  /** Absolute paths. */
  programs: { ip: string; nft: string };
}

/** Bridges, addresses and the firewall of one installation. A bridge is made with an organization's first container. */
export class Network {
  readonly #file: string;
  readonly #organizations = new Map<string, OrganizationNetwork>();
  readonly #used = new Set<number>();
  readonly #last = new Map<string, number>();
  /** False when this kernel cannot count connections: then a container may use up those of the whole machine. */
  flowsAreLimited = true;
  /** Bridges are made one after the other: each choice of a subnet sees the one before. */
  #changes: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly options: NetworkOptions,
    private readonly exec: Exec,
  ) {
    this.#file = path.join(options.root, 'network.json');
  }

  static async open(options: NetworkOptions, exec: Exec): Promise<Network> {
    const network = new Network(options, exec);
    const text = await readFileIfExists(network.#file);
    if (text !== undefined) {
      for (const [id, { bridge, subnet }] of Object.entries(Stored.parse(JSON.parse(text)).organizations)) {
        network.#organizations.set(id, { bridge, subnet: ipv4Number(subnet) });
      }
    }
    await switchOnForwarding();
    await network.applyFirewall();
    return network;
  }

  /** Marks an address that a container of an earlier process has. */
  adopt(address: string): void {
    this.#used.add(ipv4Number(address));
  }

  /** An address and link name for a container, its bridge ready. Throws `limit_exceeded` when the subnet is full. */
  async reserve(organizationId: string): Promise<Endpoint> {
    const { subnet } = await this.#ensure(organizationId);
    const address = nextAddress(subnet, this.#used, this.#last.get(organizationId) ?? subnet);
    if (address === undefined) {
      throw new PlatformError('limit_exceeded', 'all addresses of the organization’s network are in use', {
        hint: 'stop containers of this organization, or place some on another node',
      });
    }
    this.#used.add(address);
    this.#last.set(organizationId, address);
    return { address: ipv4Text(address), link: this.#linkName(address) };
  }

  release(address: string): void {
    this.#used.delete(ipv4Number(address));
  }

  /** How `endpoint` is wired, for `setUpNetworkNamespace`. */
  async attachment(organizationId: string, endpoint: Endpoint): Promise<Omit<VethAttachment, 'pid'>> {
    const { bridge, subnet } = await this.#ensure(organizationId);
    return {
      hostName: endpoint.link,
      bridge,
      mtu: await uplinkMtu(),
      address: endpoint.address,
      gateway: ipv4Text(subnet + 1),
    };
  }

  /** Takes down a container's link and the way to its address; what is gone already is passed over. */
  async detach(link: string): Promise<void> {
    const address = addressOfLink(link, this.options.linkPrefix);
    for (const { bridge, subnet } of this.#organizations.values()) {
      if (address >= subnet && address < subnet + SUBNET_SIZE) deleteRoute(ipv4Text(address), bridge);
    }
    await deleteLink(link);
  }

  nameServers(): Promise<string[]> {
    return resolveNameServers(this.options.nameServers);
  }

  async applyFirewall(): Promise<void> {
    const state = {
      table: this.options.table,
      linkPrefix: this.options.linkPrefix,
      bridges: [...this.#organizations.values()].map(({ bridge, subnet }) => ({
        name: bridge,
        subnet: `${ipv4Text(subnet)}/${PREFIX_LENGTH}`,
      })),
      nameServers: await this.nameServers(),
    };
    const { nft } = this.options.programs;
    this.flowsAreLimited = await applyFirewall(this.exec, nft, state, await flowsPerContainer());
  }

  /** Puts the rules back when something has flushed them, as a restart of a host's own firewall does; true if so. */
  async restoreFirewall(): Promise<boolean> {
    if (await hasTable(this.exec, this.options.programs.nft, this.options.table)) return false;
    await this.applyFirewall();
    return true;
  }

  /** Unique, since addresses are: seven characters of prefix and mark, five of the address's last 22 bits. */
  #linkName(address: number): string {
    return `${this.options.linkPrefix}v${(address % 2 ** 22).toString(36)}`;
  }

  async #ensure(organizationId: string): Promise<OrganizationNetwork> {
    const known = this.#organizations.get(organizationId);
    if (known && linkIndex(known.bridge) !== undefined) return known;
    const made = this.#changes.then(
      () => this.#make(organizationId),
      () => this.#make(organizationId),
    );
    this.#changes = made;
    return made;
  }

  /** Makes the bridge, on the subnet it had before unless something else has taken that meanwhile. */
  async #make(organizationId: string): Promise<OrganizationNetwork> {
    const known = this.#organizations.get(organizationId);
    if (known && linkIndex(known.bridge) !== undefined) return known;
    const taken = await this.#takenRanges(organizationId);
    const kept =
      known && !taken.some((range) => range.first < known.subnet + SUBNET_SIZE && range.last >= known.subnet);
    const subnet = kept ? known.subnet : chooseSubnet(`${this.options.linkPrefix} ${organizationId}`, taken);
    if (subnet === undefined) {
      throw new PlatformError('limit_exceeded', 'no free subnet in 100.64.0.0/10 is left on this machine', {
        hint: 'remove routes that this machine does not need (ip route show table all)',
      });
    }
    const network = { bridge: known?.bridge ?? this.#freeBridgeName(), subnet };
    this.#organizations.set(organizationId, network);
    await this.#save();
    // The rules come first: a bridge is never up without them.
    await this.applyFirewall();
    createBridge(network.bridge, ipv4Text(subnet + 1));
    await switchOffIpv6(network.bridge);
    return network;
  }

  #freeBridgeName(): string {
    const names = new Set([...this.#organizations.values()].map(({ bridge }) => bridge));
    for (let index = 0; ; index++) {
      const name = `${this.options.linkPrefix}b${index.toString(36)}`;
      if (!names.has(name)) return name;
    }
  }

  /** What the machine routes already, in any table, and what other organizations here have. */
  async #takenRanges(except: string): Promise<AddressRange[]> {
    const { stdout } = await this.exec.run(
      this.options.programs.ip,
      ['-4', '-json', 'route', 'show', 'table', 'all'],
      {
        maxOutputBytes: 64 << 20,
      },
    );
    const routes = Routes.parse(JSON.parse(stdout || '[]')).flatMap(({ dst }) => parseRange(dst) ?? []);
    const own = [...this.#organizations].filter(([id]) => id !== except);
    return [...routes, ...own.map(([, { subnet }]) => ({ first: subnet, last: subnet + SUBNET_SIZE - 1 }))];
  }

  async #save(): Promise<void> {
    const organizations = Object.fromEntries(
      [...this.#organizations].map(([id, { bridge, subnet }]) => [id, { bridge, subnet: ipv4Text(subnet) }]),
    );
    await writeFileDurably(this.#file, JSON.stringify({ organizations }));
  }
}

/** The address that `#linkName` made a name of. */
function addressOfLink(link: string, prefix: string): number {
  return ipv4Number('100.64.0.0') + Number.parseInt(link.slice(prefix.length + 1), 36);
}

/** Containers reach the world only through a machine that forwards. Left on at the end: others may rely on it by then. */
async function switchOnForwarding(): Promise<void> {
  const file = '/proc/sys/net/ipv4/ip_forward';
  if ((await readFile(file, 'utf8')).trim() === '1') return;
  try {
    await writeFile(file, '1');
  } catch (cause) {
    throw new PlatformError('unsupported', 'IP forwarding is off and cannot be switched on', {
      cause,
      hint: 'run: sysctl -w net.ipv4.ip_forward=1',
    });
  }
}

/** Containers have IPv4 only; without this the host would answer them on a link-local address. */
async function switchOffIpv6(bridge: string): Promise<void> {
  await writeFile(`/proc/sys/net/ipv6/conf/${bridge}/disable_ipv6`, '1').catch(() => {}); // the kernel has no IPv6
}

/** What kernels allow on small machines; also until the first rule that tracks connections has loaded the module. */
const DEFAULT_MAX_FLOWS = 65_536;

/** A container's share of the machine's table of connections: as many containers as there are 512 MiB in 32 GiB. */
async function flowsPerContainer(): Promise<number> {
  const told = await readFileIfExists('/proc/sys/net/netfilter/nf_conntrack_max');
  return Math.max(1024, Math.floor((Number(told) || DEFAULT_MAX_FLOWS) / 64));
}

/** MTU of the interface that leads out, so that containers' packets fit it. */
async function uplinkMtu(): Promise<number> {
  const table = await readFile('/proc/net/route', 'utf8');
  const uplink = table
    .split('\n')
    .map((line) => line.split('\t'))
    .find(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')?.[0];
  if (!uplink) return DEFAULT_MTU;
  return Number(await readFileIfExists(`/sys/class/net/${uplink}/mtu`)) || DEFAULT_MTU;
}
