import { readFileIfExists } from '#libs/host';

/** The second is where systemd-resolved keeps the true servers when the first only names its own loopback address. */
const RESOLV_CONF_FILES = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];
const MAX_NAME_SERVERS = 3;

/** IPv4 name servers of a resolv.conf(5) that a container can reach: not those on loopback. */
export function reachableNameServers(resolvConf: string): string[] {
  return resolvConf
    .split('\n')
    .flatMap((line) => /^\s*nameserver\s+(\d{1,3}(?:\.\d{1,3}){3})\s*$/.exec(line)?.[1] ?? [])
    .filter((address) => !address.startsWith('127.') && !address.startsWith('0.'))
    .slice(0, MAX_NAME_SERVERS);
}

/** The name servers to give to containers: the configured ones, else the host's. Empty when it has none but loopback. */
export async function resolveNameServers(configured: string[] | undefined): Promise<string[]> {
  if (configured) return configured;
  for (const file of RESOLV_CONF_FILES) {
    const found = reachableNameServers((await readFileIfExists(file)) ?? '');
    if (found.length > 0) return found;
  }
  return [];
}
