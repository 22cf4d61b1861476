import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { DesiredInstance } from '#libs/contract';
import { listKernelObjects } from '#libs/engine';
import { randomText } from '#libs/host';
import { desiredBuild, desiredInstance, makeId } from '../../../apps/agent/src/testing/desired.ts';
import { FakeControlPlane } from '../../../apps/agent/src/testing/fake-control-plane.ts';
import { deps } from '../engine/engine-fixture.ts';
import { AgentProcess, type AgentSurroundings, runTeardown } from './agent-process.ts';
import { makeTestImage, type TestImage } from './image-fixture.ts';

let folder: string;
let image: TestImage;
let controlPlane: FakeControlPlane;
let surroundings: AgentSurroundings;
let agent: AgentProcess;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'gantry-agent-'));
  await chmod(folder, 0o711);
  image = await makeTestImage(folder);
  controlPlane = new FakeControlPlane();
  controlPlane.serveOther = image.serve;
  await controlPlane.up();
  surroundings = {
    dataDir: path.join(folder, 'data'),
    installationId: randomText(5),
    controlPlaneUrl: controlPlane.url,
    dockerSocket: path.join(folder, 'data', 'run', 'docker.sock'),
  };
  agent = await AgentProcess.start(surroundings);
});

afterEach(async () => {
  controlPlane.want({ instances: [], volumes: [] });
  await controlPlane.until(() => controlPlane.observed.at(-1)?.instances.length === 0 || undefined, 30_000);
});

afterAll(async () => {
  await agent?.end('SIGTERM');
  await runTeardown(surroundings);
  await controlPlane?.down();
  await rm(folder, { recursive: true, force: true });
});

const SERVER = `
  process.on('SIGTERM', () => { console.log('bye'); process.exit(0); });
  require('node:http').createServer((_, response) => response.end(process.env.GANTRY_SERVICE)).listen(process.env.PORT);
  console.log('up', process.env.PORT);
`;

function instanceOf(argv: string[], change: Partial<DesiredInstance> = {}): DesiredInstance {
  return desiredInstance({
    image: { repository: 'app_00000000000000000000/app', digest: image.digest, source: 'platform' },
    argv,
    health: { kind: 'tcp', startTimeoutSeconds: 30 },
    resources: { memoryBytes: 256 << 20, cpus: 2, pids: 64 },
    stopGraceSeconds: 5,
    ...change,
  });
}

const server = (change: Partial<DesiredInstance> = {}) => instanceOf(['node', '-e', SERVER], change);
const shell = (script: string, change: Partial<DesiredInstance> = {}) =>
  instanceOf(['/bin/sh', '-c', script], { health: { kind: 'none', startTimeoutSeconds: 30 }, ...change });

/** Lines of an instance so far, the platform's own marked with `*`. */
function linesOf({ id }: DesiredInstance): string[] {
  return controlPlane.logs
    .filter((line) => line.instance === id)
    .map((line) => (line.stream === 'platform' ? `* ${line.text}` : line.text));
}

async function untilLine(instance: DesiredInstance, line: string): Promise<void> {
  await controlPlane.until(() => linesOf(instance).includes(line) || undefined, 30_000);
}

interface DockerContainer {
  Id: string;
  Names: string[];
  State: string;
}

interface DockerInspection {
  State: { Pid: number; Running: boolean };
  Config: { User: string };
}

/** What a Docker client would be answered on the agent's socket. */
async function docker<T>(path: string): Promise<T> {
  const asked = request({ socketPath: surroundings.dockerSocket, path: `/v1.41${path}` }).end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  expect(answer.statusCode).toBe(200);
  return JSON.parse(await text(answer)) as T;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function get(address: { host: string; port: number } | null): Promise<string> {
  const socket = connect(address ?? { host: '', port: 0 });
  await once(socket, 'connect');
  socket.end('GET / HTTP/1.0\r\n\r\n');
  return (await text(socket)).split('\r\n\r\n')[1] ?? '';
}

it('runs what listens until it is no longer desired, and then lets it end in peace', async () => {
  const instance = server();
  controlPlane.want({ instances: [instance] });
  const { address } = await controlPlane.untilState(instance.id, 'healthy', 60_000);
  expect(await get(address)).toBe('web');
  controlPlane.want({ instances: [] });
  await controlPlane.until(() => controlPlane.observed.at(-1)?.instances.length === 0 || undefined);
  await untilLine(instance, '* Process exited with status 0');
  const lines = [
    '* Process started',
    'up 8080',
    '* Stopping process',
    'bye',
    '* Process exited with status 0',
  ];
  expect(linesOf(instance)).toEqual(lines);
});

it('backs off from what crashes, and has sent its last lines before it says so', async () => {
  const instance = shell('echo one; echo two >&2; exit 7');
  controlPlane.want({ instances: [instance] });
  const lines = await controlPlane.until(
    () => (controlPlane.instance(instance.id)?.state === 'backoff' ? linesOf(instance) : undefined),
    30_000,
  );
  expect(controlPlane.instance(instance.id)).toMatchObject({
    restarts: 3,
    lastExit: { code: 7, oomKilled: false },
    message: 'Process exited with status 7',
  });
  expect(lines).toHaveLength(12);
  expect(lines.slice(-4).sort()).toEqual([
    '* Process exited with status 7',
    '* Process started',
    'one',
    'two',
  ]);
  expect(lines.at(-1)).toBe('* Process exited with status 7');
});

it('says so when memory ran out', async () => {
  const hog = `const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1));`;
  const resources = { memoryBytes: 64 << 20, cpus: 1, pids: 64 };
  const instance = instanceOf(['node', '-e', hog], {
    health: { kind: 'none', startTimeoutSeconds: 30 },
    resources,
  });
  controlPlane.want({ instances: [instance] });
  const ended = await controlPlane.until(
    () => controlPlane.instance(instance.id)?.lastExit ?? undefined,
    30_000,
  );
  expect(ended).toMatchObject({ oomKilled: true });
  await untilLine(instance, '* Killed: out of memory');
});

it('ends what never listens at its time limit', async () => {
  const instance = instanceOf(['/bin/sh', '-c', 'sleep 100'], {
    health: { kind: 'tcp', startTimeoutSeconds: 1 },
  });
  controlPlane.want({ instances: [instance] });
  await untilLine(instance, '* did not listen on $PORT (8080) within 1 s');
  await controlPlane.until(() => (controlPlane.instance(instance.id)?.restarts ?? 0) > 0 || undefined);
});

it('says what could not be started', async () => {
  const instance = instanceOf(['/no/such/program']);
  controlPlane.want({ instances: [instance] });
  const failed = await controlPlane.until(() => {
    const observed = controlPlane.instance(instance.id);
    return observed?.state === 'failed' || observed?.state === 'backoff' ? observed : undefined;
  }, 30_000);
  expect(failed.message).toMatch(/no such file|not found|status 127/i);
});

it.each(['SIGKILL', 'SIGTERM'] as const)(
  'leaves instances alone when it ends by %s, and finds them again',
  async (signal) => {
    const instance = server();
    controlPlane.want({ instances: [instance] });
    const before = await controlPlane.untilState(instance.id, 'healthy', 60_000);
    await agent.end(signal);
    expect(await get(before.address)).toBe('web');
    controlPlane.observed.length = 0;
    agent = await AgentProcess.start(surroundings);
    const after = await controlPlane.untilState(instance.id, 'healthy', 30_000);
    expect(after).toEqual(before);
    const states = controlPlane.observed.flatMap((report) => report.instances.map((one) => one.state));
    expect(new Set(states)).toEqual(new Set(['healthy']));
  },
);

it('counts what ended while it was away, with its last lines, and starts it again without the control plane', async () => {
  const instance = shell('echo begin; sleep 3; echo end; exit 4');
  controlPlane.want({ instances: [instance] });
  await untilLine(instance, 'begin');
  const name = `hello.web.${instance.id}_0_1`;
  const pid = (await docker<DockerInspection>(`/containers/${name}/json`)).State.Pid;
  await agent.end('SIGKILL');
  await controlPlane.down();
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
  agent = await AgentProcess.start(surroundings);
  await controlPlane.up();
  await controlPlane.until(
    () => (controlPlane.instance(instance.id)?.restarts ?? 0) > 0 || undefined,
    30_000,
  );
  expect(controlPlane.instance(instance.id)?.lastExit?.code).toBe(4);
  await untilLine(instance, '* Process exited with status 4');
  await controlPlane.until(
    () => linesOf(instance).filter((line) => line === 'begin').length > 1 || undefined,
  );
  expect(linesOf(instance)).toContain('end');
});

it('keeps a volume across instances, writable for the app, until it is dropped', async () => {
  const volume = { id: makeId('vol'), name: 'data' };
  const volumes = [{ ...volume, mountPath: '/data' }];
  const listed = [{ ...volume, app: { id: 'app_00000000000000000000' } }];
  const script = 'echo found $(ls /data); touch /data/$GANTRY_RELEASE; echo $?; sleep 100';
  const first = shell(script, { volumes });
  controlPlane.want({ instances: [first], volumes: listed });
  await untilLine(first, '0');
  expect(linesOf(first)).toContain('found');
  const second = shell(script, { volumes, release: 2 });
  controlPlane.want({ instances: [second] });
  await untilLine(second, 'found 1');
  await untilLine(second, '0');
  const on = path.join(surroundings.dataDir, 'agent', 'volumes');
  expect((await readdir(path.join(on, volume.id))).sort()).toEqual(['1', '2']);
  controlPlane.want({ instances: [shell('sleep 100')], volumes: [] });
  await expect.poll(() => readdir(on), { timeout: 20_000 }).not.toContain(volume.id);
});

it('builds what is desired, and says what is wrong with a source that it cannot build', async () => {
  const build = desiredBuild({
    resources: { memoryBytes: 1 << 30, cpus: 2, pids: 1024 },
    timeoutSeconds: 120,
  });
  const source = pack();
  source.entry({ name: 'README.md' }, 'no app here');
  source.finalize();
  controlPlane.buildSources.set(build.id, await buffer(source));
  controlPlane.want({ builds: [build] });
  const result = await controlPlane.until(() => controlPlane.buildResults.get(build.id), 280_000);
  controlPlane.want({ builds: [] });
  expect(result.status).toBe('failed');
  expect(JSON.stringify([result, controlPlane.buildLogs.get(build.id)])).toContain('package.json');
}, 300_000);

it('shows its containers to Docker clients, on a socket for root only', async () => {
  const instance = server();
  controlPlane.want({ instances: [instance] });
  await controlPlane.untilState(instance.id, 'healthy', 60_000);
  expect((await stat(surroundings.dockerSocket)).mode & 0o777).toBe(0o600);
  const [container] = await docker<DockerContainer[]>('/containers/json');
  expect(container).toMatchObject({ Names: [`/hello.web.${instance.id}_0_1`], State: 'running' });
  expect(await docker<DockerInspection>(`/containers/${container?.Id}/json`)).toMatchObject({
    State: { Running: true },
    Config: { User: '1000:1000' },
  });
  expect(await docker('/version')).toMatchObject({ ApiVersion: '1.41' });
});

it('is taken down without a trace, and comes back as desired though the control plane is away', async () => {
  const instance = server();
  controlPlane.want({ instances: [instance] });
  await controlPlane.untilState(instance.id, 'healthy', 60_000);
  expect(await agent.abandon()).toBe(0);
  const { code, output } = await runTeardown(surroundings);
  expect(output).toContain(`stopped hello web ${instance.id} (status 0)`);
  expect(code).toBe(0);
  expect(await listKernelObjects(surroundings.installationId, deps)).toEqual([]);
  await controlPlane.down();
  agent = await AgentProcess.start(surroundings);
  const states = async () => (await docker<DockerContainer[]>('/containers/json')).map(({ State }) => State);
  await expect.poll(() => states().catch(() => []), { timeout: 20_000 }).toEqual(['running']);
  await controlPlane.up();
  expect(await controlPlane.untilState(instance.id, 'healthy', 30_000)).toMatchObject({
    restarts: 0,
    lastExit: null,
  });
});
