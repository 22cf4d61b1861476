import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PlatformError } from '#libs/errors';
import { systemClock } from '#libs/host';
import { silentLogger } from '#libs/log';
import { Agent, type AgentDeps } from './agent.ts';
import { loadConfig } from './config.ts';
import { ControlPlane } from './control-plane/control-plane.ts';
import { tcpProbe } from './health/probe.ts';
import { DIGEST, desiredBuild, desiredInstance } from './testing/desired.ts';
import { FakeControlPlane, NODE_TOKEN } from './testing/fake-control-plane.ts';
import { FakeEngine } from './testing/fake-engine.ts';

let folder: string;
let controlPlane: FakeControlPlane;
let engine: FakeEngine;
let agent: Agent | undefined;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'agent-test-'));
  controlPlane = new FakeControlPlane();
  await controlPlane.up();
  engine = new FakeEngine(path.join(folder, 'engine'));
  engine.publish(DIGEST);
});

afterEach(async () => {
  await agent?.close();
  agent = undefined;
  for (const { spec } of engine.list()) await engine.remove(spec.id);
  await controlPlane.down();
  await rm(folder, { recursive: true, force: true });
});

async function startAgent(
  runBuild: AgentDeps['runBuild'] = () => Promise.reject(new Error('no builds here')),
) {
  const { paths } = loadConfig({
    GANTRY_CONTROL_PLANE_URL: controlPlane.url,
    GANTRY_NODE_TOKEN: NODE_TOKEN,
    GANTRY_DATA_DIR: folder,
    GANTRY_INSTALLATION_ID: 'test0',
  });
  const log = silentLogger();
  const link = new ControlPlane({ url: controlPlane.url, token: NODE_TOKEN, clock: systemClock, log });
  agent = await Agent.open({
    engine,
    controlPlane: link,
    clock: systemClock,
    log,
    probe: tcpProbe,
    runBuild,
    keptLayers: new Set(),
    paths,
  });
  await agent.start();
}

/** The agent's process is gone without a word; what the engine holds stays. */
async function crashAgent(): Promise<void> {
  await agent?.close();
  agent = undefined;
  engine.calls.length = 0;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const containerOf = (instance: { id: string }, attempt = 1, generation = 0) =>
  `${instance.id}_${generation}_${attempt}`;

async function untilRunning(id: string): Promise<void> {
  await controlPlane.until(() => (engine.get(id)?.status === 'running' ? true : undefined));
}

describe('an instance', () => {
  it('is pulled, created, started, found healthy, and stopped when no longer desired', async () => {
    const port = await freePort();
    const instance = desiredInstance({
      port,
      health: { kind: 'tcp', startTimeoutSeconds: 30 },
      stopGraceSeconds: 7,
    });
    await startAgent();
    controlPlane.want({ instances: [instance] });
    await controlPlane.untilState(instance.id, 'starting');
    await untilRunning(containerOf(instance));
    await engine.listen(containerOf(instance), port);
    const healthy = await controlPlane.untilState(instance.id, 'healthy');
    expect(healthy.address).toEqual({ host: '127.0.0.1', port });
    controlPlane.want({ instances: [] });
    await controlPlane.until(() => (controlPlane.observed.at(-1)?.instances.length === 0 ? true : undefined));
    expect(engine.calls).toContain(`stop(7000) ${containerOf(instance)}`);
    expect(engine.list()).toEqual([]);
  });

  it('is replaced, old one first, when its generation grows', async () => {
    const instance = desiredInstance();
    await startAgent();
    controlPlane.want({ instances: [instance] });
    await untilRunning(containerOf(instance));
    controlPlane.want({ instances: [{ ...instance, generation: 1 }] });
    await untilRunning(containerOf(instance, 1, 1));
    const calls = engine.calls.filter((call) => !call.startsWith('pull'));
    expect(calls.slice(2)).toEqual([
      `stop(10000) ${containerOf(instance)}`,
      `remove ${containerOf(instance)}`,
      `create ${containerOf(instance, 1, 1)}`,
      `start ${containerOf(instance, 1, 1)}`,
    ]);
  });

  it('that crashes is restarted twice at once, then backs off, its last lines sent before the exit is reported', async () => {
    const instance = desiredInstance();
    await startAgent();
    controlPlane.want({ instances: [instance] });
    for (const attempt of [1, 2, 3]) {
      await untilRunning(containerOf(instance, attempt));
      await engine.say(containerOf(instance, attempt), `dying ${attempt}`, 'stderr');
      engine.exit(containerOf(instance, attempt), 3);
    }
    const linesAtReport = await controlPlane.until(() => {
      return controlPlane.instance(instance.id)?.state === 'backoff' ? controlPlane.logs.length : undefined;
    });
    const backoff = await controlPlane.untilState(instance.id, 'backoff');
    expect(backoff).toMatchObject({
      restarts: 3,
      lastExit: { code: 3 },
      message: 'Process exited with status 3',
    });
    const texts = controlPlane.logs.slice(0, linesAtReport).map((line) => line.text);
    expect(texts).toEqual(
      [1, 2, 3].flatMap((n) => ['Process started', `dying ${n}`, 'Process exited with status 3']),
    );
    await controlPlane.until(() => (engine.list().length === 0 ? true : undefined));
  });

  it('that never listens is killed at its time limit and says so', async () => {
    const port = await freePort();
    const instance = desiredInstance({ port, health: { kind: 'tcp', startTimeoutSeconds: 1 } });
    await startAgent();
    controlPlane.want({ instances: [instance] });
    const message = `did not listen on $PORT (${port}) within 1 s`;
    const failed = await controlPlane.until(() => {
      const observed = controlPlane.instance(instance.id);
      return observed?.message === message ? observed : undefined;
    });
    expect(failed).toMatchObject({ restarts: 1, lastExit: { code: 137 } });
    expect(controlPlane.logs.map((line) => line.text)).toContain(message);
  });

  it('whose image is missing becomes failed, with the reason, after three tries', async () => {
    const digest = `sha256:${'2'.repeat(64)}`;
    const instance = desiredInstance({ image: { repository: 'a/b', digest, source: 'platform' } });
    await startAgent();
    controlPlane.want({ instances: [instance] });
    const failed = await controlPlane.untilState(instance.id, 'failed');
    expect(failed.message).toContain(`cannot pull image a/b@${digest}`);
    expect(engine.calls.filter((call) => call.startsWith('pull'))).toHaveLength(3);
  });

  it('that cannot be started leaves no container', async () => {
    const instance = desiredInstance();
    engine.fail = (verb) =>
      verb === 'start' ? new PlatformError('invalid_input', '"serve" not found') : undefined;
    await startAgent();
    controlPlane.want({ instances: [instance] });
    const failed = await controlPlane.untilState(instance.id, 'failed');
    expect(failed.message).toBe('cannot start the process: "serve" not found');
    expect(engine.list()).toEqual([]);
    expect(controlPlane.logs.at(-1)).toMatchObject({ stream: 'platform', text: failed.message });
  });

  it('that leaves while its image is on the way is not waited for', async () => {
    const gate = Promise.withResolvers<void>();
    engine.pullGate = gate.promise;
    const instance = desiredInstance();
    await startAgent();
    controlPlane.want({ instances: [instance] });
    await controlPlane.untilState(instance.id, 'pulling');
    controlPlane.want({ instances: [] });
    await controlPlane.until(() => (controlPlane.observed.at(-1)?.instances.length === 0 ? true : undefined));
    gate.resolve();
  });
});

describe('an agent that starts again', () => {
  it('re-adopts what runs: same container, no restart, never reported as anything but healthy', async () => {
    const port = await freePort();
    const instance = desiredInstance({ port, health: { kind: 'tcp', startTimeoutSeconds: 30 } });
    await startAgent();
    controlPlane.want({ instances: [instance] });
    await untilRunning(containerOf(instance));
    await engine.listen(containerOf(instance), port);
    await controlPlane.untilState(instance.id, 'healthy');
    await engine.say(containerOf(instance), 'before');
    await controlPlane.until(() => controlPlane.logs.find((line) => line.text === 'before'));
    await crashAgent();
    controlPlane.observed.length = 0;
    await startAgent();
    await engine.say(containerOf(instance), 'after');
    await controlPlane.until(() => controlPlane.logs.find((line) => line.text === 'after'));
    await controlPlane.untilState(instance.id, 'healthy');
    expect(controlPlane.observed.flatMap((report) => report.instances.map((one) => one.state))).not.toContain(
      'starting',
    );
    expect(controlPlane.instance(instance.id)?.restarts).toBe(0);
    expect(engine.calls).toEqual([]);
    expect(controlPlane.logs.map((line) => line.text)).toEqual(['Process started', 'before', 'after']);
  });

  it('keeps instances as last desired with the control plane away, and reports when it is back', async () => {
    const instance = desiredInstance();
    await startAgent();
    controlPlane.want({ instances: [instance] });
    await controlPlane.untilState(instance.id, 'healthy');
    await controlPlane.down();
    await crashAgent();
    engine.exit(containerOf(instance), 1);
    await startAgent();
    await untilRunning(containerOf(instance, 2));
    await controlPlane.up();
    const back = await controlPlane.until(() => {
      const observed = controlPlane.instance(instance.id);
      return observed?.state === 'healthy' && observed.restarts === 1 ? observed : undefined;
    });
    expect(back.lastExit?.code).toBe(1);
  });

  it('touches nothing before any desired state is known', async () => {
    const instance = desiredInstance();
    await startAgent();
    controlPlane.want({ instances: [instance] });
    await untilRunning(containerOf(instance));
    await crashAgent();
    await controlPlane.down();
    await rm(path.join(folder, 'agent', 'desired.json'));
    await startAgent();
    for (let turn = 0; turn < 50; turn += 1) await setImmediate();
    expect(engine.calls).toEqual([]);
    expect(engine.get(containerOf(instance))?.status).toBe('running');
  });
});

describe('a build', () => {
  it('runs from its source, streams its log and reports its result', async () => {
    const build = desiredBuild();
    controlPlane.buildSources.set(build.id, Buffer.from('the source'));
    await startAgent(async ({ openSource, onLine }) => {
      const chunks: Buffer[] = [];
      for await (const chunk of await openSource()) chunks.push(Buffer.from(chunk));
      for (let n = 0; n < 2_500; n += 1) onLine(`line ${n}`);
      onLine(Buffer.concat(chunks).toString());
      return { digest: DIGEST, services: [{ name: 'web', argv: ['node'] }], timings: { build: 5 } };
    });
    controlPlane.want({ builds: [build] });
    const result = await controlPlane.until(() => controlPlane.buildResults.get(build.id));
    expect(result).toMatchObject({ status: 'succeeded', digest: DIGEST });
    const lines = controlPlane.buildLogs.get(build.id) ?? [];
    expect(lines).toHaveLength(2_501);
    expect(lines.slice(-2)).toEqual(['line 2499', 'the source']);
  });

  it('is cancelled when it is no longer desired, and reports nothing', async () => {
    const build = desiredBuild();
    const started = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    await startAgent(({ signal }) => {
      started.resolve();
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          aborted.resolve();
          reject(signal.reason);
        });
      });
    });
    controlPlane.want({ builds: [build] });
    await started.promise;
    controlPlane.want({ builds: [] });
    await aborted.promise;
    expect(controlPlane.buildResults.size).toBe(0);
  });

  it('that fails says why; the result arrives though the control plane was away', async () => {
    const build = desiredBuild();
    const proceed = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    await startAgent(async () => {
      started.resolve();
      await proceed.promise;
      throw new PlatformError('build_failed', 'npm ci ended with 1', { hint: 'Look at the log.' });
    });
    controlPlane.want({ builds: [build] });
    await started.promise;
    await controlPlane.down();
    proceed.resolve();
    await controlPlane.up();
    const result = await controlPlane.until(() => controlPlane.buildResults.get(build.id));
    expect(result).toEqual({ status: 'failed', error: 'npm ci ended with 1 (Look at the log.)' });
  });
});
