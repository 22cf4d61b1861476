import { listKernelObjects, openEngine, teardownKernelObjects } from '#libs/engine';
import { errorMessage, PlatformError } from '#libs/errors';
import { systemClock, systemExec } from '#libs/host';
import { createLogger } from '#libs/log';
import { type AgentConfig, loadConfig } from './config.ts';
import { reportFailure } from './report-failure.ts';
import { stopContainers } from './stop-containers.ts';

/**
 * Stops every instance and removes all that the installation has made in the kernel. Run it after the agent has
 * ended. What is desired stays on disk: the next agent brings everything back, with or without the control plane.
 */
async function teardown({ paths, installationId, logLevel }: AgentConfig): Promise<void> {
  const deps = {
    exec: systemExec,
    clock: systemClock,
    log: createLogger({ name: 'teardown', level: logLevel === 'debug' ? 'debug' : 'warn' }),
  };
  const say = (line: string) => process.stdout.write(`${line}\n`);
  try {
    const engine = await openEngine(
      { root: paths.engine, installationId, sharedLayers: paths.sharedLayers },
      deps,
    );
    for (const failure of await stopContainers(engine, say)) say(`could not stop: ${failure}`);
    await engine.close();
  } catch (error) {
    // The kernel's objects are found by name, whatever state the engine's folder is in.
    say(`cannot open the engine, going on without it: ${errorMessage(error)}`);
  }
  for (const { kind, name } of await teardownKernelObjects(installationId, deps))
    say(`removed ${kind} ${name}`);
  const left = await listKernelObjects(installationId, deps);
  if (left.length === 0) return;
  const names = left.map(({ kind, name }) => `${kind} ${name}`).join(', ');
  throw new PlatformError('internal', `teardown left ${names}`, {
    hint: 'Run `gantry down` once more, or reboot.',
  });
}

try {
  await teardown(loadConfig(process.env));
} catch (error) {
  reportFailure('gantry teardown', error);
}
