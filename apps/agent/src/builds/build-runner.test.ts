import { expect, it } from 'vitest';
import type { BuildResult } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { systemClock } from '#libs/host';
import { silentLogger } from '#libs/log';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { desiredBuild } from '../testing/desired.ts';
import { BuildRunner } from './build-runner.ts';

/** Runs a build that succeeds, against a control plane that answers each result as told; returns the results. */
async function report(refuse: (result: BuildResult) => PlatformError | undefined): Promise<BuildResult[]> {
  const results: BuildResult[] = [];
  const callUntilAnswered = async (_: unknown, { body }: { body: BuildResult }) => {
    results.push(body);
    const refusal = refuse(body);
    if (refusal) throw refusal;
  };
  const settled = Promise.withResolvers<void>();
  const runner = new BuildRunner({
    controlPlane: { callUntilAnswered, openBuildSource: async () => [] } as unknown as ControlPlane,
    runBuild: async () => ({ digest: 'sha256:x', services: [{ name: 'web', argv: ['a\0'] }], timings: {} }),
    clock: systemClock,
    log: silentLogger(),
    onSettled: settled.resolve,
  });
  runner.start(desiredBuild());
  await settled.promise;
  return results;
}

it('fails a build whose result the control plane refuses, so that it does not wait for its time limit', async () => {
  const results = await report(({ status }) =>
    status === 'succeeded' ? new PlatformError('invalid_input', 'services.0.argv.0: NUL') : undefined,
  );
  expect(results).toMatchObject([
    { status: 'succeeded' },
    { status: 'failed', error: 'the platform refused what was built: services.0.argv.0: NUL' },
  ]);
});

it('says nothing more of a build that is not this node’s any more, nor twice that one failed', async () => {
  expect(await report(() => new PlatformError('not_found', 'not assigned'))).toHaveLength(1);
  expect(await report(() => new PlatformError('invalid_input', 'no'))).toHaveLength(2);
});
