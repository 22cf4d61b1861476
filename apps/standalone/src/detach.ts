import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { PlatformError } from '#libs/errors';
import { failureOf, ParentMessage } from './parent-report.ts';
import { checkRoot, prepareDataDir } from './preflight.ts';
import type { StatusReport } from './status-report.ts';
import { describeReady, describeRunning } from './summary.ts';
import type { VerbContext } from './verb-context.ts';

/** Starts `up` in the background, shows its progress, and returns 0 once it is ready. Throws what it failed with. */
export async function upDetached(context: VerbContext): Promise<number> {
  const { layout, clock, output } = context;
  checkRoot('up');
  await prepareDataDir(layout);
  const startedAt = clock.now();
  const child = startInBackground(context);
  const passOn = (signal: NodeJS.Signals) => child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, passOn);
  const report = await watch(child, context);
  const isNew = report.pid === child.pid;
  const elapsedMs = clock.now() - startedAt;
  output.result(
    report,
    isNew ? describeReady(report, { elapsedMs, isAttached: false }) : describeRunning(report),
  );
  return 0;
}

function startInBackground({ options, layout, mainFile, exec }: VerbContext): ChildProcess {
  // What it says goes over the channel; this file is for a crash of the supervisor itself, and starts anew each time.
  const crashLog = openSync(`${layout.logsDir}/standalone.err`, 'w', 0o640);
  try {
    const args = ['up', '--data', layout.dataDir, '--domain', options.domain];
    args.push('--http-port', String(options.httpPort), '--api-port', String(options.apiPort));
    return exec.spawn(process.execPath, [...process.execArgv, mainFile, ...args], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'ignore', crashLog, 'ipc'],
    });
  } finally {
    closeSync(crashLog);
  }
}

function watch(child: ChildProcess, { layout, output }: VerbContext): Promise<StatusReport> {
  return new Promise((resolve, reject) => {
    let failure: PlatformError | undefined;
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      const how = signal ? `killed by ${signal}` : `exit code ${code}`;
      // only now, so that whoever tries again at once finds nothing of it
      reject(
        failure ??
          new PlatformError(
            'unavailable',
            `the platform in ${layout.dataDir} ended while it started (${how})`,
            {
              hint: `Look into ${layout.logsDir}/standalone.log and standalone.err`,
            },
          ),
      );
    });
    child.on('message', (received) => {
      const message = ParentMessage.parse(received);
      if (message.kind === 'progress') return output.progress(message.event);
      if (message.kind === 'failed') {
        failure = failureOf(message);
        return;
      }
      child.disconnect();
      child.unref();
      resolve(message.report);
    });
  });
}
