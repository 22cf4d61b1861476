import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Fixture, makeFixture } from './engine-fixture.ts';

let f: Fixture;
beforeAll(async () => {
  f = await makeFixture();
});
afterAll(() => f?.dispose());

/** Runs a shell line as container root, the most that an app can be, and takes the container away again. */
async function asRoot(command: string): Promise<string> {
  const { output } = await f.run(f.spec('inst_probe', command, { user: '0:0' }));
  await f.engine.remove('inst_probe');
  return output;
}

it('has no capability of any kind, cannot gain one, and is filtered', async () => {
  const status = await asRoot('cat /proc/self/status');
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    expect(status).toMatch(new RegExp(`${set}:\\s+0+$`, 'm'));
  expect(status).toMatch(/NoNewPrivs:\s+1/);
  expect(status).toMatch(/Seccomp:\s+2/);
});

it('lives in its owner’s id range: container root is nobody on the host, and two owners are two nobodies', async () => {
  await f.engine.create(f.spec('inst_one', 'sleep 100', { user: '0:0', ownerId: 'app_one' }));
  await f.engine.create(f.spec('inst_two', 'sleep 100', { user: '1000', ownerId: 'app_two' }));
  await f.engine.start('inst_one');
  await f.engine.start('inst_two');
  const hostUid = async (id: string) => {
    const status = await readFile(`/proc/${f.engine.get(id)?.pid}/status`, 'utf8');
    return Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]);
  };
  const [first, second] = [await f.engine.idRange('app_one'), await f.engine.idRange('app_two')];
  expect(Math.abs(first - second)).toBeGreaterThanOrEqual(65_536);
  expect(await hostUid('inst_one')).toBe(first);
  expect(await hostUid('inst_two')).toBe(second + 1000);
  await expect(f.engine.releaseIdRange('app_one')).rejects.toMatchObject({ code: 'conflict' });
  await f.engine.remove('inst_one');
  await f.engine.remove('inst_two');
  await f.engine.releaseIdRange('app_one');
  expect(await f.engine.idRange('app_three')).toBe(first);
  expect(await f.engine.idRange('app_two')).toBe(second);
});

it('cannot mount, make devices, enter namespaces or write to the kernel’s settings', async () => {
  const probes = [
    'mount -t tmpfs none /tmp',
    'mknod /tmp/disk b 8 0',
    'unshare --user true',
    'unshare --mount true',
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
    'echo x > /proc/sysrq-trigger',
    'echo 1 > /sys/fs/cgroup/cgroup.procs',
    'touch /sys/fs/cgroup/*/memory.limit_in_bytes && echo 1 > /sys/fs/cgroup/memory/memory.limit_in_bytes',
    'echo "evil" >> /etc/hosts',
    'echo "evil" >> /etc/resolv.conf',
  ];
  for (const probe of probes) {
    const output = await asRoot(`if (${probe}) 2>/dev/null; then echo WENT THROUGH; else echo refused; fi`);
    expect(output, probe).toBe('refused');
  }
});

it('shows nothing of the masked paths', async () => {
  const masked = ['kcore', 'keys', 'timer_list', 'interrupts', 'sched_debug', 'latency_stats'];
  const probe = masked.map((name) => `head -c 64 /proc/${name}`).join('; ');
  expect(
    await asRoot(`(${probe}; ls /sys/firmware /proc/acpi /proc/scsi -A) 2>/dev/null | grep -v ':$'`),
  ).toBe('');
  expect((await readFile('/proc/interrupts', 'utf8')).length).toBeGreaterThan(0);
});

it('sees only its own processes, files and devices', async () => {
  expect(await asRoot('echo $$; ls -d /proc/[0-9]*')).toMatch(/^1\n\/proc\/1(\n\/proc\/\d+)*$/);
  const devices = (await asRoot('ls /dev')).split('\n').sort();
  const allowed = [
    'fd',
    'full',
    'mqueue',
    'null',
    'ptmx',
    'pts',
    'random',
    'shm',
    'stderr',
    'stdin',
    'stdout',
    'tty',
    'urandom',
    'zero',
  ];
  expect(devices).toEqual(allowed);
});

it('filters system calls: no sockets that reach past namespaces, no io_uring', async () => {
  // The probe is compiled by nobody: Perl's `syscall` makes the calls, and Perl is part of every Debian.
  const perl = '/usr/bin/perl';
  const probe = `for (["local", 41, 1, 1, 0], ["inet", 41, 2, 1, 0], ["netlink", 41, 16, 3, 0], ["mptcp", 41, 2, 1, 262],
      ["sctp", 41, 2, 1, 132], ["dccp6", 41, 10, 6, 33], ["xfrm", 41, 16, 3, 6], ["generic", 41, 16, 3, 16], ["alg", 41, 38, 5, 0],
      ["vsock", 41, 40, 1, 0], ["packet", 41, 17, 3, 0], ["io_uring_setup", 425, 1, 0], ["clone3", 435, 0, 0],
      ["keyctl", 250, 0, 0], ["bpf", 321, 0, 0], ["userfaultfd", 323, 0], ["kexec_load", 246, 0, 0]) {
      my ($name, @call) = @$_; my $r = syscall($call[0], map { $_ + 0 } @call[1..$#call]);
      print "$name=", ($r >= 0 ? "ok" : $! + 0), "\\n"; }`;
  const spec = f.spec('inst_filter', '', {
    argv: [perl, '-e', probe],
    user: '0:0',
    mounts: [
      { source: perl, target: perl, readonly: true, ownership: 'mapped' },
      { source: '/usr/lib', target: '/usr/lib', readonly: true, ownership: 'mapped' },
    ],
  });
  const { output } = await f.run(spec);
  await f.engine.remove('inst_filter');
  const answers = Object.fromEntries(output.split('\n').map((line) => line.split('=')));
  expect(answers).toEqual({
    ...{
      local: 'ok',
      inet: 'ok',
      netlink: 'ok',
      mptcp: 'ok',
      sctp: '1',
      dccp6: '1',
      xfrm: '1',
      generic: '1',
    },
    ...{ alg: '1', vsock: '1', packet: '1', io_uring_setup: '1' },
    ...{ clone3: '38', keyctl: '1', bpf: '1', userfaultfd: '1', kexec_load: '1' },
  });
});

it('keeps two containers of one layer apart: what one writes, the other does not see, nor the layer', async () => {
  await f.run(f.spec('inst_w', 'echo mine > /tmp/file; echo changed > /etc/passwd', { user: '0:0' }));
  expect((await f.run(f.spec('inst_r', 'ls /tmp; cat /etc/passwd'))).output).toMatch(/^root:x:0/);
  await f.engine.remove('inst_w');
  await f.engine.remove('inst_r');
});

it('is without any network when asked, but for its own loopback', async () => {
  const server = createServer((socket) => socket.end('host')).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const output = await asRoot(
    `ls /sys/class/net; if (exec 3<>/dev/tcp/127.0.0.1/${port}) 2>/dev/null; then echo REACHED; else echo refused; fi`,
  );
  server.close();
  expect(output).toBe('lo\nrefused');
});

it('does not follow an image’s links out of the rootfs when it looks for users', async () => {
  const { resolveUser } = await import('../../../libs/engine/src/rootfs/resolve-user.ts');
  const { mkdir, symlink, writeFile } = await import('node:fs/promises');
  const rootfs = `${f.root}/links`;
  await mkdir(`${rootfs}/etc`, { recursive: true });
  await writeFile(`${f.root}/passwd`, 'stolen:x:4242:4242::/:/bin/sh\n');
  await symlink(`${f.root}/passwd`, `${rootfs}/etc/passwd`);
  expect(() => resolveUser(rootfs, 'stolen')).toThrow('no user');
  await symlink('../../passwd', `${rootfs}/etc/group`);
  expect(() => resolveUser(rootfs, '1:stolen')).toThrow('no group');
});
