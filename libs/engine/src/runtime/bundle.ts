import { RANGE_SIZE } from '../id-ranges.ts';
import type { ResolvedUser } from '../rootfs/resolve-user.ts';
import type { ContainerSpec } from '../types.ts';
import type { SeccompProfile } from './seccomp-profile.ts';

/** In /dev, which is a fresh file system in every container: nothing of the image can be in the way. */
export const INIT_PATH = '/dev/init';

const CPU_PERIOD_US = 100_000;
const MIN_CPU_QUOTA_US = 1000;
const MAX_OPEN_FILES = 65_536;
const SHM_BYTES = 64 << 20;

const MASKED_PATHS = [
  ...['acpi', 'asound', 'interrupts', 'kcore', 'keys', 'latency_stats', 'sched_debug', 'scsi'].map(
    (name) => `/proc/${name}`,
  ),
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];
const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];
/**
 * All of a container's packets go to its gateway, whatever that answers: the kernel keeps one table of neighbours for the
 * whole machine, and a container that could look for many of them would fill it for everybody. The same is why it has
 * no IPv6 but on `lo`: every link-local address would be a neighbour.
 */
const NEIGHBOURLESS = {
  'net.ipv4.conf.all.accept_redirects': '0',
  'net.ipv4.conf.default.accept_redirects': '0',
};
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface BundleRequest {
  spec: ContainerSpec;
  rootfs: string;
  cgroup: string;
  firstId: number;
  user: ResolvedUser;
  seccomp: SeccompProfile;
  /** Host folders or files, already mapped, and where they appear. */
  binds: { source: string; target: string }[];
  /** Our own hard limit on open files: without CAP_SYS_RESOURCE a runtime cannot go above it. */
  maxOpenFiles: number;
  swapLimit: boolean;
  /** Whether this kernel has IPv6 at all. */
  hasIpv6: boolean;
}

function baseMounts(): object[] {
  const flags = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: flags },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...flags, 'mode=1777', `size=${SHM_BYTES}`],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: flags },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...flags, 'ro'] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: [...flags, 'relatime', 'ro'],
    },
  ];
}

function resources({ spec, swapLimit }: BundleRequest): object {
  const { memoryBytes, cpus, pids } = spec.resources;
  return {
    // The runtime adds null, zero, full, random, urandom, tty, console and ptmx.
    devices: [{ allow: false, access: 'rwm' }],
    memory: { limit: memoryBytes, ...(swapLimit ? { swap: memoryBytes } : {}) },
    cpu: {
      period: CPU_PERIOD_US,
      quota: Math.max(MIN_CPU_QUOTA_US, Math.round(cpus * CPU_PERIOD_US)),
      shares: Math.min(262_144, Math.max(2, Math.round(cpus * 1024))),
    },
    pids: { limit: pids },
  };
}

function environment(spec: ContainerSpec, user: ResolvedUser): string[] {
  const env: Record<string, string> = { PATH: DEFAULT_PATH, HOME: user.home, ...spec.env };
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}

function processSection({ spec, user, maxOpenFiles }: BundleRequest): object {
  const files = Math.min(MAX_OPEN_FILES, maxOpenFiles);
  return {
    terminal: false,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args: spec.init ? [INIT_PATH, '--', ...spec.argv] : spec.argv,
    env: environment(spec, user),
    cwd: spec.workingDir || '/',
    capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
    rlimits: [
      { type: 'RLIMIT_NOFILE', hard: files, soft: files },
      { type: 'RLIMIT_CORE', hard: 0, soft: 0 },
    ],
    noNewPrivileges: true,
  };
}

/** The configuration of a container (OCI runtime spec 1.0.2, config.md): no capability, own namespaces of every kind. */
export function ociConfig(request: BundleRequest): object {
  const { spec, firstId } = request;
  const idMap = [{ containerID: 0, hostID: firstId, size: RANGE_SIZE }];
  const namespaces = ['pid', 'network', 'ipc', 'uts', 'mount', 'user', 'cgroup'];
  return {
    ociVersion: '1.0.2',
    process: processSection(request),
    root: { path: request.rootfs, readonly: false },
    hostname: spec.hostname,
    mounts: [
      ...baseMounts(),
      ...request.binds.map(({ source, target }) => ({
        destination: target,
        type: 'bind',
        source,
        // Read-only, nosuid and the id map are on the source mount already; adding flags here would need a remount,
        // which runc 1.1 gets wrong for sources on a nosuid or nodev file system.
        options: ['bind'],
      })),
    ],
    linux: {
      namespaces: namespaces.map((type) => ({ type })),
      uidMappings: idMap,
      gidMappings: idMap,
      cgroupsPath: request.cgroup,
      resources: resources(request),
      // Ports below 1024 are the container's own; without capabilities nobody could listen on them otherwise.
      sysctl: {
        'net.ipv4.ip_unprivileged_port_start': '0',
        'net.ipv4.ping_group_range': '0 65535',
        ...NEIGHBOURLESS,
        ...(request.hasIpv6 ? { 'net.ipv6.conf.default.disable_ipv6': '1' } : {}),
      },
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
      seccomp: request.seccomp,
    },
  };
}
