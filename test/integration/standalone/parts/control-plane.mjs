// Stands in for the control plane: serves its port, and says who it is.
import { createServer } from 'node:http';

const { GANTRY_API_HOST, GANTRY_API_PORT, DATABASE_URL, REDIS_URL, TEST_FAILING_PART } = process.env;
if (TEST_FAILING_PART === 'control-plane') {
  process.stderr.write('the words before the end\n');
  process.exit(3);
}
const server = createServer((_, response) =>
  response.end(JSON.stringify({ pid: process.pid, DATABASE_URL, REDIS_URL })),
);
server.listen(Number(GANTRY_API_PORT), GANTRY_API_HOST, () => process.send('ready'));
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
