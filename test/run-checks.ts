import { spawnSync } from 'node:child_process';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const CHECKS: readonly { name: string; command: string; args: readonly string[] }[] = [
  { name: 'lint and format', command: 'biome', args: ['check', '--error-on-warnings', '.'] },
  { name: 'types', command: 'tsc', args: ['--noEmit'] },
];

/** Runs lint and types, prints what they find, and returns the names of those that failed. */
export function runChecks(): string[] {
  const failed: string[] = [];
  for (const { name, command, args } of CHECKS) {
    const result = spawnSync(path.join(root, 'node_modules/.bin', command), args, {
      cwd: root,
      stdio: 'inherit',
    });
    console.log(`check: ${name}: ${result.status === 0 ? 'fine' : 'FAILED'}`);
    if (result.status !== 0) failed.push(name);
  }
  return failed;
}

if (import.meta.main) process.exit(runChecks().length === 0 ? 0 : 1);
