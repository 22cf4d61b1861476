import type { Server } from 'node:http';
import { PlatformError } from '#libs/errors';
import { createLogger, type Logger } from '#libs/log';
import { askStatus } from './control-client.ts';
import { serveControl } from './control-server.ts';
import { ensureInstallation, type Installation, writeAdminFile } from './installation.ts';
import type { Layout } from './layout.ts';
import { endLeftovers } from './leftovers.ts';
import { type ListeningSocket, openListeningSocket } from './listening-socket.ts';
import { type Lock, takeLock } from './lock.ts';
import { LogFile } from './log-file.ts';
import { failureMessage, tellParent } from './parent-report.ts';
import { Platform } from './platform.ts';
import { checkCgroups, checkPortFree, checkRoot, portTaken, prepareDataDir } from './preflight.ts';
import { addressesOf } from './programs.ts';
import { Progress } from './progress.ts';
import type { StatusReport } from './status-report.ts';
import { StopRequest } from './stop-request.ts';
import { describeReady, describeRunning } from './summary.ts';
import type { VerbContext } from './verb-context.ts';

const LOCK_TRIES = 25;
const LOCK_PAUSE_MS = 200;
const SERVER_CLOSE_MS = 1_000;

/**
 * Runs a platform until it is told to stop (Ctrl-C, SIGTERM, `gantry down`). Returns the exit code. When one runs in
 * this data folder already, says where it is and returns 0.
 */
export async function up(context: VerbContext): Promise<number> {
  const { layout, output } = context;
  try {
    checkRoot('up');
    await prepareDataDir(layout);
    await checkCgroups();
    const lock = await takeLockOrFindRunning(context);
    if ('running' in lock) {
      output.result(lock.running, describeRunning(lock.running));
      tellParent({ kind: 'ready', report: lock.running });
      return 0;
    }
    // Kept to the end of the process: whoever gets it next may be sure that nothing of us runs.
    return await runPlatform(context);
  } catch (error) {
    tellParent(failureMessage(error));
    throw error;
  }
}

/** The lock, or the report of the platform that has it. Throws `conflict` when one is just starting or stopping. */
export async function takeLockOrFindRunning({
  exec,
  clock,
  layout,
}: Pick<VerbContext, 'exec' | 'clock' | 'layout'>): Promise<Lock | { running: StatusReport }> {
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    const lock = await takeLock(exec, layout.lockFile);
    if (lock) return lock;
    const report = await askStatus(layout.controlSocket);
    if (report && report.state !== 'stopping') return { running: report };
    await clock.sleep(LOCK_PAUSE_MS);
  }
  throw new PlatformError('conflict', `another gantry is just stopping the platform in ${layout.dataDir}`, {
    hint: 'Try again when it is done; `gantry status` tells how it stands.',
  });
}

async function runPlatform(context: VerbContext): Promise<number> {
  const { options, layout, config, clock, exec, programs, output } = context;
  const startedAt = clock.now();
  const progress = new Progress(clock);
  progress.listen((event) => output.progress(event));
  progress.listen((event) => tellParent({ kind: 'progress', event }));
  progress.note(`Starting Gantry in ${layout.dataDir}`);
  const left = await endLeftovers(layout.pidsDir, clock);
  if (left.length > 0) progress.note(`  ended what a killed platform had left: ${left.join(', ')}`);

  const listeningSocket = await openPorts(context);
  const installation = await ensureInstallation(layout);
  await announce(context, installation);
  const { log, close: closeLog } = openLog(layout, config.logLevel);
  const platform = new Platform({
    options,
    layout,
    config,
    clock,
    exec,
    programs,
    installation,
    listeningSocket,
    log,
    progress,
  });
  const stopRequest = new StopRequest(() => platform.kill());
  const server = await serveControl(layout.controlSocket, {
    report: () => platform.report(),
    down: async (listener) => {
      const end = progress.listen(listener);
      stopRequest.request('gantry down');
      await platform.stop();
      end();
    },
  });
  try {
    await Promise.race([platform.start(), stopRequest.requested]);
    if (!stopRequest.reason) {
      const report = platform.report();
      log.info({ timingsMs: report.timingsMs, elapsedMs: clock.now() - startedAt }, 'ready');
      output.result(
        report,
        describeReady(report, { elapsedMs: clock.now() - startedAt, isAttached: !process.connected }),
      );
      tellParent({ kind: 'ready', report });
    }
    const reason = await stopRequest.requested;
    progress.note(`Stopping (${reason})`);
    return 0;
  } catch (error) {
    log.error({ err: error }, 'cannot start');
    progress.note('Stopping what was started');
    throw error;
  } finally {
    await platform.stop();
    await closeServer(server);
    stopRequest.close();
    progress.note('Gantry has stopped');
    closeLog();
  }
}

/** Opens the port of the apps and makes sure that of the API is free. Throws `conflict` naming the option. */
async function openPorts({ options }: VerbContext): Promise<ListeningSocket> {
  const { host } = addressesOf(options);
  let socket: ListeningSocket;
  try {
    socket = openListeningSocket(host, options.httpPort);
  } catch (error) {
    if (error instanceof PlatformError && error.code === 'conflict')
      throw portTaken(host, options.httpPort, '--http-port');
    throw error;
  }
  try {
    await checkPortFree(host, options.apiPort, '--api-port');
  } catch (error) {
    socket.close();
    throw error;
  }
  return socket;
}

async function announce({ options, layout }: VerbContext, installation: Installation): Promise<void> {
  await writeAdminFile(layout, {
    url: addressesOf(options).apiUrl,
    token: installation.secrets.adminToken,
    domain: options.domain,
    httpPort: options.httpPort,
    dockerSocket: layout.dockerSocket,
  });
}

function openLog(
  layout: Layout,
  level: 'debug' | 'info' | 'warn' | 'error',
): { log: Logger; close: () => void } {
  const file = new LogFile(`${layout.logsDir}/standalone.log`);
  const destination = { write: (line: string) => file.write(Buffer.from(line)) };
  return { log: createLogger({ name: 'standalone', level, destination }), close: () => file.close() };
}

/** Lets answers that are on their way arrive, and removes the socket. */
async function closeServer(server: Server): Promise<void> {
  const impatience = setTimeout(() => server.closeAllConnections(), SERVER_CLOSE_MS);
  await new Promise((resolve) => server.close(resolve));
  clearTimeout(impatience);
}
