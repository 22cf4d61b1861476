import { createReadStream, mkdirSync, rmSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { systemExec as exec } from '#libs/host';
import { createLayer, applyLayer } from '#libs/oci';
const t = async (name: string, f: () => unknown) => { const a = performance.now(); const c0=process.cpuUsage(); const r = await f(); const c=process.cpuUsage(c0); console.log(name.padEnd(28), (performance.now() - a).toFixed(0), 'ms, own cpu', ((c.user+c.system)/1000).toFixed(0), 'ms', r ? JSON.stringify(r) : ''); return r; };
execFileSync('sh', ['-c', 'tar -C /tmp/ocit/tree -c . | cat >/dev/null']);
for (let i = 0; i < 2; i++) {
await t('tar only', () => { execFileSync('sh', ['-c', 'tar -C /tmp/ocit/tree -c . | cat > /dev/null']); });
await t('tar | gzip -1', () => { execFileSync('sh', ['-c', 'tar -C /tmp/ocit/tree -c . | gzip -1 > /tmp/ocit/peer.tgz']); });
const l = await t('createLayer', () => createLayer({ entries: [{ source: '/tmp/ocit/tree', prefix: '/workspace', uid: 1000, gid: 1000 }], mtime: 1, output: '/tmp/ocit/ours.tgz', exec })) as any;
rmSync('/dev/shm/ocit-x', { recursive: true, force: true }); mkdirSync('/dev/shm/ocit-x');
await t('tar -xz', () => { execFileSync('tar', ['-xzf', '/tmp/ocit/ours.tgz', '-C', '/dev/shm/ocit-x']); });
rmSync('/dev/shm/ocit-x', { recursive: true, force: true }); mkdirSync('/dev/shm/ocit-x');
await t('applyLayer', () => applyLayer({ tar: createReadStream('/tmp/ocit/ours.tgz', {highWaterMark: 1<<18}), mediaType: l.mediaType, target: '/dev/shm/ocit-x', exec, expectedDiffId: l.diffId }));
}
execFileSync('sh', ['-c', 'ls -l /tmp/ocit/*.tgz; diff -r /tmp/ocit/tree /dev/shm/ocit-x/workspace && echo same; gzip -t /tmp/ocit/ours.tgz; tar tvzf /tmp/ocit/ours.tgz | head -5'], { stdio: 'inherit' });
