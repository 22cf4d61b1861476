import type { App, Build, Deployment, Instance, LogEntry, Release, Volume } from '#libs/contract';

export const NOW = '2026-11-05T12:00:00.000Z';

/** An id whose last part begins with `start`. */
export function idOf(kind: string, start: string): string {
  return `${kind}_${start.padEnd(20, '0')}`;
}

export function anApp(origin: string, more: Partial<App> = {}): App {
  const slug = more.slug ?? 'hello';
  return {
    id: idOf('app', slug.replaceAll('-', '')),
    slug,
    organization: 'main',
    url: `http://${slug}.gantry.localhost:8080/`,
    gitUrl: `${origin}/git/${slug}.git`,
    status: 'running',
    release: 4,
    services: [{ name: 'web', scale: 1, healthy: 1 }],
    createdAt: NOW,
    ...more,
  };
}

export function aDeployment(more: Partial<Deployment> = {}): Deployment {
  return {
    id: idOf('dep', 'one'),
    release: 5,
    status: 'running',
    message: null,
    url: 'http://hello.gantry.localhost:8080/',
    createdAt: NOW,
    finishedAt: null,
    ...more,
  };
}

export function anInstance(start: string, more: Partial<Instance> = {}): Instance {
  return {
    id: idOf('ins', start),
    service: 'web',
    release: 5,
    node: 'node-a',
    state: 'healthy',
    draining: false,
    restarts: 0,
    address: null,
    lastExit: null,
    message: null,
    startedAt: NOW,
    createdAt: NOW,
    ...more,
  };
}

export function aRelease(number: number, more: Partial<Release> = {}): Release {
  return {
    id: idOf('rel', `r${number}`),
    number,
    image: 'app_1/app',
    digest: `sha256:${'ab12'.repeat(16)}`,
    reason: `build #${number}`,
    services: [{ name: 'web', argv: ['node', 'server.js'] }],
    current: false,
    createdAt: NOW,
    ...more,
  };
}

export function aBuild(number: number, more: Partial<Build> = {}): Build {
  return {
    id: idOf('bld', `b${number}`),
    number,
    status: 'succeeded',
    source: { kind: 'git', commit: '0123456789abcdef0123456789abcdef01234567' },
    image: null,
    error: null,
    timings: null,
    createdAt: NOW,
    startedAt: NOW,
    finishedAt: '2026-11-05T12:00:09.000Z',
    ...more,
  };
}

export function aVolume(name: string, more: Partial<Volume> = {}): Volume {
  return { id: idOf('vol', name), name, mountPath: '/data', node: null, createdAt: NOW, ...more };
}

/** A log line `second` seconds after NOW. */
export function aLine(second: number, text: string, more: Partial<LogEntry> = {}): LogEntry {
  const at = new Date(Date.parse(NOW) + second * 1000).toISOString();
  return { at, service: 'web', instance: idOf('ins', 'abc123'), stream: 'stdout', text, ...more };
}
