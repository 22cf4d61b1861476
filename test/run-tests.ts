import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { observeKernel, observeRun, RUN_VARIABLE, type TestRun } from './leaks.ts';
import { runChecks } from './run-checks.ts';

/**
 * `./gantry test [unit|integration|e2e] [vitest's arguments]`: lint and types, then the tests, then a look whether they
 * left anything behind. Ends with a line `N passed, N failed`; the exit code is 0 only when all passed and some ran.
 */
const PROJECTS = ['unit', 'integration', 'e2e'] as const;
const root = path.resolve(import.meta.dirname, '..');
/** The kernel takes a moment to delete links, and processes to end, after the test has let go of them. */
const LEAK_GRACE_MS = 10_000;

interface Tally {
  passed: number;
  failed: number;
}

/** The part of vitest's JSON report that is counted. */
interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; name: string; assertionResults: unknown[] }[];
}

const [first, ...rest] = process.argv.slice(2);
const chosen = PROJECTS.find((name) => name === first);
const projects = chosen ? [chosen] : PROJECTS;
const vitestArgs = chosen ? rest : process.argv.slice(2);
const run: TestRun = {
  id: `${process.pid}-${Date.now()}`,
  folder: mkdtempSync(path.join(os.tmpdir(), 'gt-run-')),
};
chmodSync(run.folder, 0o711); // platforms' data folders are inside, and other users pass through
process.on('SIGINT', () => {}); // vitest gets it from the terminal too, and ends; then we count

const before = observeKernel();
const total: Tally = { passed: 0, failed: 0 };
if (vitestArgs.length === 0) total.failed += runChecks().length;
for (const project of projects) {
  console.log(`\n== ${project} tests`);
  add(total, await runProject(project));
}
const leaks = await findLeaks();
for (const leak of leaks) console.log(`LEFT BEHIND: ${leak}`);
total.failed += leaks.length;
// with a mount left inside, removing would reach into what is mounted
if (!leaks.some((leak) => leak.startsWith('mount'))) rmSync(run.folder, { recursive: true, force: true });

if (total.passed === 0) console.log('No test ran.');
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);

async function runProject(project: string): Promise<Tally> {
  const reportFile = path.join(run.folder, `${project}.json`);
  const args = ['run', '--project', project, '--passWithNoTests', '--reporter=default', '--reporter=json'];
  const vitest = spawn(
    path.join(root, 'node_modules/.bin/vitest'),
    [...args, `--outputFile.json=${reportFile}`, ...vitestArgs],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, TMPDIR: run.folder, [RUN_VARIABLE]: run.id },
    },
  );
  const [code] = await once(vitest, 'exit');
  return count(project, existsSync(reportFile) ? readFileSync(reportFile, 'utf8') : undefined, code);
}

function count(project: string, text: string | undefined, code: number | null): Tally {
  if (text === undefined) {
    if (code === 0) return { passed: 0, failed: 0 }; // the project has no test that was asked for
    console.log(`${project}: vitest ended with ${code} and no report`);
    return { passed: 0, failed: 1 };
  }
  const report = JSON.parse(text) as VitestReport;
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  );
  const tally = { passed: report.numPassedTests, failed: report.numFailedTests + broken.length };
  const skipped = report.numPendingTests + report.numTodoTests;
  if (skipped > 0) console.log(`${project}: ${skipped} skipped`);
  if (skipped > 0 && vitestArgs.length === 0) tally.failed += skipped; // nothing may be skipped unless asked for
  if (code !== 0 && tally.failed === 0) {
    console.log(`${project}: no test failed, but vitest ended with ${code}`);
    tally.failed = 1;
  }
  return tally;
}

async function findLeaks(): Promise<string[]> {
  const deadline = Date.now() + LEAK_GRACE_MS;
  for (;;) {
    const leaks = [...[...observeKernel()].filter((name) => !before.has(name)), ...observeRun(run)];
    if (leaks.length === 0 || Date.now() > deadline) return leaks;
    await sleep(100);
  }
}

function add(total: Tally, more: Tally): void {
  total.passed += more.passed;
  total.failed += more.failed;
}
