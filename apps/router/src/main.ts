import { hostname } from 'node:os';
import { Client } from '#libs/contract';
import { toPlatformError } from '#libs/errors';
import { systemClock } from '#libs/host';
import { createLogger } from '#libs/log';
import { type Config, loadConfig } from './config.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { Router } from './router.ts';
import { TableFile } from './table-file.ts';
import { TableSync } from './table-sync.ts';

/** Starts the router; the order is what makes it serve before the control plane is there. */
async function start(config: Config): Promise<void> {
  const logger = createLogger({ name: 'router', level: config.logLevel });
  const tableFile = new TableFile(config.stateFile, logger);
  const router = new Router({
    limits: DEFAULT_LIMITS,
    domain: config.domain,
    onLetGo: () => sync.reportNow(),
  });

  const saved = await tableFile.load();
  if (saved) router.routes.apply(saved);
  const port = await router.listen(config.listenOn);
  const sync = new TableSync({
    client: new Client({ url: config.controlPlaneUrl, token: config.token }),
    routes: router.routes,
    onTable: (table) => tableFile.save(table),
    // the same after a restart, so that the control plane does not wait for one that was killed
    name: `${hostname()}:${port}`,
    clock: systemClock,
    logger,
  });
  sync.start();
  endInOrder(async (reason) => {
    logger.info({ reason }, 'draining');
    await router.drain();
    await sync.stop();
  });
  logger.info({ port, version: router.routes.version }, 'serving');
  process.send?.('ready');
}

/** Runs `end` once, on SIGTERM, SIGINT or when the parent process is gone, and exits 0. */
function endInOrder(end: (reason: string) => Promise<void>): void {
  let ending = false;
  const once = (reason: string) => {
    if (ending) return;
    ending = true;
    end(reason).then(() => process.exit(0), fail);
  };
  process.on('SIGTERM', () => once('SIGTERM'));
  process.on('SIGINT', () => once('SIGINT'));
  process.on('disconnect', () => once('the parent process is gone'));
}

/** One line for whoever started us, and exit status 1. */
function fail(error: unknown): never {
  const { message, hint } = toPlatformError(error);
  process.stderr.write(`gantry router: ${message}.${hint === undefined ? '' : ` ${hint}`}\n`);
  process.exit(1);
}

try {
  await start(loadConfig(process.env));
} catch (error) {
  fail(error);
}
