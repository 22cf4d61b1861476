// Stands in for the router: answers on the socket that was handed down, with its pid.
import { createServer } from 'node:http';

const server = createServer((_, response) =>
  response.setHeader('connection', 'close').end(String(process.pid)),
);
server.listen({ fd: Number(process.env.GANTRY_LISTEN_FD) }, () => process.send('ready'));
const end = () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
};
process.on('SIGTERM', end);
process.on('disconnect', () => process.exit(0));
