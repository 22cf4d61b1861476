import { expect, it } from 'vitest';
import type { ContainerSpec } from '../types.ts';
import { ociConfig } from './bundle.ts';
import { seccompProfile } from './seccomp-profile.ts';

const spec: ContainerSpec = {
  ...{ id: 'inst_x', organizationId: 'org', ownerId: 'app', profile: 'instance', labels: {}, layers: [] },
  ...{
    argv: ['node', 'server.js'],
    env: { PORT: '8080' },
    workingDir: '',
    user: '',
    hostname: 'web',
    mounts: [],
  },
  ...{ network: 'bridge', logMaxBytes: 1, resources: { memoryBytes: 1 << 29, cpus: 0.5, pids: 99 } },
};
const request = {
  spec,
  ...{
    rootfs: '/r',
    cgroup: '/gantry-abcde/instance/inst_x',
    firstId: 300_000_000,
    maxOpenFiles: 1024,
    swapLimit: true,
    hasIpv6: true,
  },
  user: { uid: 1000, gid: 1000, additionalGids: [], home: '/workspace' },
  seccomp: seccompProfile('x64'),
  binds: [{ source: '/m', target: '/data' }],
};

it('is locked in every way that the runtime knows', () => {
  const namespaces = ['pid', 'network', 'ipc', 'uts', 'mount', 'user', 'cgroup'].map((type) => ({ type }));
  const idMap = [{ containerID: 0, hostID: 300_000_000, size: 65_536 }];
  expect(ociConfig(request)).toMatchObject({
    process: {
      noNewPrivileges: true,
      capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }, { type: 'RLIMIT_CORE' }],
      cwd: '/',
      env: expect.arrayContaining(['PORT=8080', 'HOME=/workspace']),
    },
    linux: {
      ...{ namespaces, uidMappings: idMap, gidMappings: idMap, cgroupsPath: '/gantry-abcde/instance/inst_x' },
      resources: {
        devices: [{ allow: false, access: 'rwm' }],
        memory: { limit: 1 << 29, swap: 1 << 29 },
        cpu: { quota: 50_000, period: 100_000 },
        pids: { limit: 99 },
      },
      readonlyPaths: expect.arrayContaining(['/proc/sys']),
    },
  });
});

it('does not ask for a swap limit that the kernel lacks', () => {
  const config = JSON.stringify(ociConfig({ ...request, swapLimit: false }));
  expect(config).toContain('"memory":{"limit":536870912}');
});

it('allows no call that makes namespaces, mounts or loads code into the kernel', () => {
  for (const arch of ['x64', 'arm64']) {
    const allowed = seccompProfile(arch).syscalls.flatMap((rule) =>
      rule.action === 'SCMP_ACT_ALLOW' && !rule.args ? rule.names : [],
    );
    const never = [
      'mount',
      'umount2',
      'unshare',
      'setns',
      'clone',
      'clone3',
      'bpf',
      'keyctl',
      'init_module',
      'socket',
      'pivot_root',
      'open_by_handle_at',
      'userfaultfd',
      'io_uring_setup',
      'perf_event_open',
      'kexec_load',
      'reboot',
    ];
    expect(allowed.filter((name) => never.includes(name))).toEqual([]);
    expect(new Set(allowed).size).toBe(allowed.length);
  }
});
