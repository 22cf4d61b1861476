import type { Exec } from '#libs/host';
import type { StandaloneConfig } from './config.ts';
import { agentEnvironment, type PartsContext, type Programs } from './programs.ts';

const TEARDOWN_TIMEOUT_MS = 120_000;

/** Stops every instance and removes what the engine made in the kernel. The agent must not run. Throws `internal`. */
export async function runTeardown(
  context: Pick<PartsContext, 'layout' | 'options' | 'installation'> & {
    config: StandaloneConfig;
    programs: Programs;
    exec: Exec;
  },
): Promise<void> {
  const { config, programs, exec } = context;
  const env = { ...config.inherited, GANTRY_LOG_LEVEL: config.logLevel, ...agentEnvironment(context) };
  await exec.run(process.execPath, [programs.teardown], { cwd: '/', env, timeoutMs: TEARDOWN_TIMEOUT_MS });
}
