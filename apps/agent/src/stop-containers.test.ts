import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { toContainerSpec } from './instances/container-spec.ts';
import { stopContainers } from './stop-containers.ts';
import { DIGEST, desiredInstance } from './testing/desired.ts';
import { FakeEngine } from './testing/fake-engine.ts';

it('stops every container with its own grace, ten seconds at most, and removes it', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'teardown-test-'));
  const engine = new FakeEngine(folder);
  engine.publish(DIGEST);
  const image = await engine.pull({ reference: `x@${DIGEST}` });
  const ids: string[] = [];
  for (const stopGraceSeconds of [3, 600]) {
    const instance = desiredInstance({ stopGraceSeconds });
    const { spec } = await engine.create(
      toContainerSpec({ instance, attempt: 1, image, volumePath: (id) => id }),
    );
    await engine.start(spec.id);
    ids.push(spec.id);
  }
  const lines: string[] = [];
  expect(await stopContainers(engine, (line) => lines.push(line))).toEqual([]);
  expect(engine.list()).toEqual([]);
  expect(engine.calls).toContain(`stop(3000) ${ids[0]}`);
  expect(engine.calls).toContain(`stop(10000) ${ids[1]}`);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/^stopped hello web ins_\w+ \(status 0\)$/);
  await rm(folder, { recursive: true });
});
