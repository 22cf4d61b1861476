import { PlatformError } from '#libs/errors';
import { askDown } from './control-client.ts';
import { readInstallation } from './installation.ts';
import { endLeftovers } from './leftovers.ts';
import { takeLock } from './lock.ts';
import { checkRoot } from './preflight.ts';
import { Progress } from './progress.ts';
import { runTeardown } from './teardown.ts';
import type { VerbContext } from './verb-context.ts';

const LOCK_WAIT_SECONDS = 30;

/**
 * Stops the platform in the data folder, its instances too, and returns 0 when nothing of it is left; also when its `up`
 * was killed and cannot do so itself. Throws `not_found` when there never was one.
 */
export async function down(context: VerbContext): Promise<number> {
  const { layout, options, clock, exec, output } = context;
  checkRoot('down');
  const installation = await readInstallation(layout);
  if (!installation) {
    throw new PlatformError('not_found', `there is no platform in ${layout.dataDir}`, {
      hint: 'Name its data folder with --data DIR.',
    });
  }
  const wasRunning = await askDown(layout.controlSocket, (event) => output.progress(event));
  // The lock is free once the process of the `up` has ended.
  const lock = await takeLock(exec, layout.lockFile, LOCK_WAIT_SECONDS);
  if (!lock) {
    throw new PlatformError(
      'timeout',
      `the platform in ${layout.dataDir} did not end in ${LOCK_WAIT_SECONDS} s`,
      {
        hint: `\`gantry status --data ${layout.dataDir}\` names its process.`,
      },
    );
  }
  try {
    const progress = new Progress(clock);
    progress.listen((event) => output.progress(event));
    const left = await endLeftovers(layout.pidsDir, clock);
    if (left.length > 0) progress.note(`Ended what a killed platform had left: ${left.join(', ')}`);
    // After an `up` in good order there is nothing left to do; after a killed one, its instances.
    if (!wasRunning)
      await progress.step('instances stopped', () => runTeardown({ ...context, installation }));
    const text =
      wasRunning || left.length > 0
        ? `Gantry in ${layout.dataDir} has stopped`
        : `Nothing ran in ${layout.dataDir}`;
    output.result({ state: 'stopped', dataDir: options.dataDir, wasRunning }, text);
    return 0;
  } finally {
    lock.release();
  }
}
