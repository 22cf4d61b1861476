import { existsSync, readFileSync, rmSync } from 'node:fs';

const file = `${process.env.GANTRY_DATA_DIR}/agent/instance.pid`;
if (existsSync(file)) {
  process.kill(Number(readFileSync(file, 'utf8')), 'SIGKILL');
  rmSync(file);
}
