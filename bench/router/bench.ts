import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/**
 * Requests per second and CPU per request of our router beside http-proxy-3, on one backend, one after the other.
 * Needs `wrk` (Debian package) and a build: `npm run build && node --experimental-transform-types bench/router/bench.ts`.
 */
const BACKEND_PORT = 19500;
const [OURS, THEIRS] = [19600, 19601];
const SECONDS = process.argv[2] ?? '6';
const HOST = 'hello.test';
const ROOT = path.resolve(import.meta.dirname, '../..');

/** A backend that costs next to nothing: it answers each head with the same bytes. */
const BACKEND_SOURCE = `
import net from 'node:net';
const answer = 'HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: 12\\r\\n\\r\\nhello world\\n';
net.createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => {});
  socket.on('data', (data) => {
    const count = data.toString('latin1').split('\\r\\n\\r\\n').length - 1;
    if (count > 0) socket.write(answer.repeat(count));
  });
}).listen(${BACKEND_PORT}, '127.0.0.1');
`;

const THEIR_SOURCE = `
import http from 'node:http';
import { createProxyServer } from 'http-proxy-3';
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const proxy = createProxyServer({ target: 'http://127.0.0.1:${BACKEND_PORT}', xfwd: true, agent });
http.createServer((req, res) => proxy.web(req, res, {}, () => res.destroy())).listen(${THEIRS}, '127.0.0.1');
`;

interface Result {
  requestsPerSecond: number;
  cpuMicroseconds: number;
  p99: string;
}

function runSource(source: string): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', source], { cwd: ROOT, stdio: 'inherit' });
}

function startOurs(folder: string): ChildProcess {
  const stateFile = path.join(folder, 'routes.json');
  const target = { instance: `ins_${'0'.repeat(20)}`, host: '127.0.0.1', port: BACKEND_PORT };
  const app = { id: `app_${'0'.repeat(20)}`, slug: 'hello' };
  const route = { host: HOST, app, service: 'web', state: 'serving', targets: [target] };
  writeFileSync(stateFile, JSON.stringify({ version: 1, routes: [route] }));
  return spawn(process.execPath, [path.join(ROOT, 'dist/apps/router/src/main.js')], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      GANTRY_CONTROL_PLANE_URL: 'http://127.0.0.1:19',
      GANTRY_ROUTER_TOKEN: 'none',
      GANTRY_ROUTER_STATE_FILE: stateFile,
      GANTRY_HTTP_HOST: '127.0.0.1',
      GANTRY_HTTP_PORT: String(OURS),
    },
  });
}

async function listening(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const socket = net.connect(port, '127.0.0.1');
    const up = await new Promise((resolve) =>
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false)),
    );
    socket.destroy();
    if (up) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`nothing listens on port ${port}`);
}

/** Processor time that a process has used, in seconds (proc(5): fields 14 and 15, in ticks of 10 ms). */
function cpuSeconds(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(stat[11]) + Number(stat[12])) / 100;
}

function measure(port: number, child: ChildProcess): Result {
  const load = (seconds: string) =>
    execFileSync(
      'wrk',
      ['-t1', '-c64', `-d${seconds}`, '--latency', '-H', `Host: ${HOST}`, `http://127.0.0.1:${port}/`],
      {
        encoding: 'utf8',
      },
    );
  load('2'); // so that the code is compiled
  const before = cpuSeconds(child.pid);
  const said = load(SECONDS);
  if (said.includes('Non-2xx')) throw new Error(said);
  const requests = Number(/(\d+) requests in/.exec(said)?.[1]);
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(said)?.[1]),
    cpuMicroseconds: ((cpuSeconds(child.pid) - before) / requests) * 1e6,
    p99: /99%\s+(\S+)/.exec(said)?.[1] ?? '?',
  };
}

const folder = mkdtempSync(path.join(tmpdir(), 'gantry-bench-'));
const backend = runSource(BACKEND_SOURCE);
const ours = startOurs(folder);
const theirs = runSource(THEIR_SOURCE);
try {
  await Promise.all([BACKEND_PORT, OURS, THEIRS].map(listening));
  const results: [string, Result][] = [
    ['http-proxy-3', measure(THEIRS, theirs)],
    ['ours', measure(OURS, ours)],
  ];
  for (const [name, { requestsPerSecond, cpuMicroseconds, p99 }] of results) {
    console.log(
      `${name.padEnd(14)} ${requestsPerSecond.toFixed(0).padStart(7)} requests/s  ${cpuMicroseconds.toFixed(1).padStart(6)} µs CPU each  p99 ${p99}`,
    );
  }
  const [reference, own] = results.map(([, result]) => result.cpuMicroseconds);
  console.log(`ours takes 1/${((reference ?? 0) / (own ?? 1)).toFixed(1)} of the CPU per request`);
} finally {
  for (const child of [ours, theirs, backend]) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
}
