import { chmod, mkdtemp, rm, readFile } from 'node:fs/promises';
import { FakeControlPlane } from '../../../apps/agent/src/testing/fake-control-plane.ts';
import { desiredInstance } from '../../../apps/agent/src/testing/desired.ts';
import { AgentProcess, runTeardown } from './agent-process.ts';
import { makeTestImage } from './image-fixture.ts';
const folder = await mkdtemp('/tmp/gantry-agent-'); await chmod(folder, 0o711);
const image = await makeTestImage(folder);
const cp = new FakeControlPlane(); cp.serveOther = image.serve; await cp.up();
const s = { dataDir: folder + '/data', installationId: 'bench', controlPlaneUrl: cp.url, dockerSocket: folder + '/d.sock' };
const agent = await AgentProcess.start(s);
const make = () => desiredInstance({ image: { repository: 'a/app', digest: image.digest, source: 'platform' }, argv: ['node', '-e', `require('http').createServer().listen(process.env.PORT)`], health: { kind: 'tcp', startTimeoutSeconds: 30 }, resources: { memoryBytes: 256 << 20, cpus: 2, pids: 64 } });
const up: number[] = [], running: number[] = [], down: number[] = [];
for (let i = 0; i < 9; i++) {
  const d = make(); let t = performance.now();
  cp.want({ instances: [d] });
  const r = await cp.untilState(d.id, 'healthy', 60000); up.push(performance.now() - t); running.push(Date.parse(r.startedAt ?? '') - performance.timeOrigin - t);
  t = performance.now(); cp.want({ instances: [] }); await cp.until(() => cp.observed.at(-1)?.instances.length === 0 || undefined, 60000); down.push(performance.now() - t);
}
const med = (a: number[]) => a.slice(1).sort((x, y) => x - y)[4]?.toFixed(0);
console.log('healthy', med(up), 'process started', med(running), 'gone', med(down), 'first (with pull)', up[0]?.toFixed(0));
const many = Array.from({ length: 20 }, make); const t = performance.now(); cp.want({ instances: many });
await cp.until(() => cp.observed.at(-1)?.instances.filter((i) => i.state === 'healthy').length === 20 || undefined, 120000);
console.log('20 at once', (performance.now() - t).toFixed(0));
console.log((await readFile(`/proc/${agent.child.pid}/status`, 'utf8')).match(/VmRSS.*/)?.[0]);
await agent.end('SIGTERM'); const t2 = performance.now(); const td = await runTeardown(s); console.log('teardown', td.code, (performance.now() - t2).toFixed(0));
await cp.down(); await rm(folder, { recursive: true });
process.exit(0);
