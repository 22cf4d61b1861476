import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../../../apps/standalone/src/run.ts';

// apps/standalone with small parts in the place of the real ones: what is tested is the supervisor.
const part = (name: string) => path.join(import.meta.dirname, `${name}.mjs`);
const programs = {
  controlPlane: part('control-plane'),
  agent: part('agent'),
  router: part('router'),
  teardown: part('teardown'),
  migrations: path.resolve(import.meta.dirname, '../../../../prisma/migrations'),
};
const mainFile = fileURLToPath(import.meta.url);
process.exit(await run({ argv: process.argv.slice(2), env: process.env, programs, mainFile }));
