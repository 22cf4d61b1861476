import 'reflect-metadata';
import { errorMessage } from '#libs/errors';
import { createLogger } from '#libs/log';
import { loadConfig } from './config.ts';
import { createApp } from './create-app.ts';

async function main(): Promise<void> {
  const config = loadConfig(process.env);
  const log = createLogger({ name: 'control-plane', level: config.logLevel });
  const app = await createApp(config, log);
  await app.listen(config.apiPort, config.apiHost);
  log.info({ host: config.apiHost, port: config.apiPort }, 'control plane serves');
  process.send?.('ready');

  let closing = false;
  const close = async (why: string) => {
    if (closing) return;
    closing = true;
    log.info({ why }, 'control plane stops');
    setTimeout(() => process.exit(1), 10_000).unref();
    await app.close();
    process.exit(0);
  };
  process.on('SIGTERM', () => void close('SIGTERM'));
  process.on('SIGINT', () => void close('SIGINT'));
  process.on('disconnect', () => void close('the supervisor went away'));
}

main().catch((error: unknown) => {
  process.stderr.write(`control plane: ${errorMessage(error)}\n`);
  process.exit(1);
});
