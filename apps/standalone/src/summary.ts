import type { StatusReport } from './status-report.ts';

const DEFAULT_DATA_DIR = '/var/lib/gantry';

/** What `up` ends its start with: where everything is and what to do next. */
export function describeReady(
  report: StatusReport,
  { elapsedMs, isAttached }: { elapsedMs: number; isAttached: boolean },
): string {
  const data = dataOption(report);
  return [
    '',
    `Gantry is ready (${(elapsedMs / 1000).toFixed(1)} s)`,
    '',
    ...describeAddresses(report),
    '',
    isAttached ? 'Next, in another terminal:' : 'Next:',
    `  gantry login${data.padEnd(24)}  log in as the admin of this platform`,
    `  cd my-app; gantry apps create my-app  make the app and the git remote \`platform\``,
    '  git push platform main                build it, run it, print its URL',
    '',
    isAttached ? 'Ctrl-C stops everything, apps too.' : `Stop everything, apps too: gantry down${data}`,
  ].join('\n');
}

export function describeRunning(report: StatusReport): string {
  return [
    `Gantry already runs in ${report.dataDir} (pid ${report.pid}, ${report.state})`,
    '',
    ...describeAddresses(report),
    '',
    `How it is: gantry status${dataOption(report)}`,
  ].join('\n');
}

function describeAddresses(report: StatusReport): string[] {
  return [`  API   ${report.url}`, `  Apps  ${report.appsUrl}`, `  Data  ${report.dataDir}`];
}

function dataOption(report: StatusReport): string {
  return report.dataDir === DEFAULT_DATA_DIR ? '' : ` --data ${report.dataDir}`;
}
