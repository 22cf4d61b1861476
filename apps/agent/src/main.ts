import { chmod, mkdir } from 'node:fs/promises';
import { openEngine } from '#libs/engine';
import { systemClock, systemExec } from '#libs/host';
import { createLogger } from '#libs/log';
import { Agent } from './agent.ts';
import { Builder } from './builds/builder.ts';
import { type AgentConfig, loadConfig } from './config.ts';
import { ControlPlane } from './control-plane/control-plane.ts';
import { serveDockerApi } from './docker-api/serve.ts';
import { tcpProbe } from './health/probe.ts';
import { reportFailure } from './report-failure.ts';

const END_TIMEOUT_MS = 8_000;

/** Starts the agent. Whatever happens to it, instances keep running; the next one finds them. */
async function start(config: AgentConfig): Promise<void> {
  const log = createLogger({ name: 'agent', level: config.logLevel });
  const clock = systemClock;
  const { paths, installationId } = config;
  await mkdir(paths.root, { recursive: true });
  await chmod(paths.root, 0o711); // containers' unprivileged root passes through
  const engine = await openEngine(
    { root: paths.engine, installationId, sharedLayers: paths.sharedLayers },
    { exec: systemExec, clock, log },
  );
  const controlPlane = new ControlPlane({ url: config.controlPlaneUrl, token: config.nodeToken, clock, log });
  const builder = new Builder({ config, engine, exec: systemExec, clock, log });
  await builder.prepare();
  const agent = await Agent.open({
    engine,
    controlPlane,
    clock,
    log,
    probe: tcpProbe,
    runBuild: builder.run,
    keptLayers: builder.baseLayers,
    paths,
  });
  const stopDockerApi = config.dockerSocket
    ? await serveDockerApi(config.dockerSocket, engine, log)
    : undefined;
  endInOrder(async (reason) => {
    log.info({ reason }, 'agent ends; instances keep running');
    await stopDockerApi?.();
    builder.close();
    await agent.close();
    await engine.close();
  });
  await agent.start();
  log.info({ instances: engine.list().length }, 'agent works');
  process.send?.('ready');
}

/** Runs `end` once, on SIGTERM, SIGINT or when the parent process is gone. */
function endInOrder(end: (reason: string) => Promise<void>): void {
  let ending = false;
  const once = (reason: string) => {
    if (ending) return;
    ending = true;
    setTimeout(() => process.exit(0), END_TIMEOUT_MS).unref(); // nothing is lost: state is on disk and in the kernel
    end(reason).then(
      () => process.exit(0),
      (error: unknown) => reportFailure('gantry agent', error),
    );
  };
  process.on('SIGTERM', () => once('SIGTERM'));
  process.on('SIGINT', () => once('SIGINT'));
  process.on('disconnect', () => once('the parent process is gone'));
}

try {
  await start(loadConfig(process.env));
} catch (error) {
  reportFailure('gantry agent', error);
}
