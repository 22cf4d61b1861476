// Stands in for the agent. It starts an "instance" that outlives it, as conmon does, unless one runs already.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';

const folder = `${process.env.GANTRY_DATA_DIR}/agent`;
mkdirSync(folder, { recursive: true });
if (!existsSync(`${folder}/instance.pid`)) {
  const instance = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
  instance.unref();
  writeFileSync(`${folder}/instance.pid`, String(instance.pid));
}
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
process.send('ready');
