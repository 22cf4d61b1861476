import { fileURLToPath } from 'node:url';
import { builtPrograms } from './programs.ts';
import { run } from './run.ts';

const programs = builtPrograms(import.meta.dirname);
const mainFile = fileURLToPath(import.meta.url);
process.exit(await run({ argv: process.argv.slice(2), env: process.env, programs, mainFile }));
