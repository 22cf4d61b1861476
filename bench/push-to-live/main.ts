import { DockerBench } from './docker.ts';
import { GantryBench } from './gantry.ts';

/**
 * Seconds from `git push` to the first 200 of the new version: cold (first push of an app: dependencies are installed),
 * then warm (one line changed). Beside it, where a dockerd answers, the same app by `docker build` + `docker run`.
 *   node_modules/.bin/node --conditions=source --experimental-transform-types bench/push-to-live/main.ts
 */
const WARM_RUNS = 9;

const median = (values: number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;

const gantry = await GantryBench.start();
const docker = await DockerBench.start();
try {
  const cold = await gantry.push('cold');
  const dockerCold = await docker?.push('cold');
  const warm: Awaited<ReturnType<GantryBench['push']>>[] = [];
  const dockerWarm: number[] = [];
  for (let i = 0; i < WARM_RUNS; i++) {
    warm.push(await gantry.push(`warm ${i}`));
    if (docker) dockerWarm.push(await docker.push(`warm ${i}`));
  }
  const warmMs = median(warm.map((run) => run.totalMs));
  console.log(
    `cold push to live   ${seconds(cold.totalMs)}${dockerCold ? `   docker ${seconds(dockerCold)}   ratio ${(cold.totalMs / dockerCold).toFixed(2)}` : ''}`,
  );
  const beside = dockerWarm.length
    ? `   docker ${seconds(median(dockerWarm))}   ratio ${(warmMs / median(dockerWarm)).toFixed(2)}`
    : '   (no dockerd answers)';
  console.log(`warm push to live   ${seconds(warmMs)}${beside}   median of ${WARM_RUNS}`);
  console.log('\nwarm, by stage (medians, ms)');
  for (const name of Object.keys(warm[0]?.stages ?? {})) {
    console.log(`  ${name.padEnd(44)} ${median(warm.map((run) => run.stages[name] ?? 0))}`);
  }
} finally {
  await docker?.stop();
  await gantry.stop();
}
