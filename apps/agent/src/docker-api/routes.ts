import { arch, availableParallelism, hostname, release, totalmem } from 'node:os';
import { VERSION } from '#libs/contract';
import type { Container } from '#libs/engine';
import { PlatformError } from '#libs/errors';
import { parseFilters } from './container-filters.ts';
import { type DockerContainer, toDockerContainer, toInspection, toSummary } from './docker-container.ts';
import { API_VERSION, compareVersions, MIN_API_VERSION } from './version.ts';

/** What the API shows; only reading, so only this much of the engine. */
export interface ContainerSource {
  list(): Container[];
}

export interface ApiAnswer {
  status: number;
  /** Text is sent as it is, anything else as JSON. */
  body: unknown;
}

const PAGE_NOT_FOUND: ApiAnswer = { status: 404, body: { message: 'page not found' } };
const ARCHITECTURES: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };

/** Answers one request. Unknown paths and methods are 404 alike, as clients expect. Throws PlatformError. */
export function answer(method: string, target: string, containers: ContainerSource): ApiAnswer {
  const url = new URL(target, 'http://docker');
  const versioned = /^\/v(\d+\.\d+)(\/.*)$/.exec(url.pathname);
  if (versioned) checkVersion(versioned[1] ?? '');
  const path = versioned?.[2] ?? url.pathname;
  if (path === '/_ping' && (method === 'GET' || method === 'HEAD')) return { status: 200, body: 'OK' };
  if (method !== 'GET') return PAGE_NOT_FOUND;
  if (path === '/version') return { status: 200, body: version() };
  if (path === '/info') return { status: 200, body: info(containers) };
  if (path === '/containers/json') return { status: 200, body: list(containers, url.searchParams) };
  const inspected = /^\/containers\/([^/]+)\/json$/.exec(path)?.[1];
  if (inspected) return { status: 200, body: toInspection(find(containers, decodeURIComponent(inspected))) };
  return PAGE_NOT_FOUND;
}

function checkVersion(asked: string): void {
  if (compareVersions(asked, API_VERSION) > 0) {
    const message = `client version ${asked} is too new. Maximum supported API version is ${API_VERSION}`;
    throw new PlatformError('invalid_input', message);
  }
  if (compareVersions(asked, MIN_API_VERSION) < 0) {
    const message = `client version ${asked} is too old. Minimum supported API version is ${MIN_API_VERSION}`;
    throw new PlatformError('invalid_input', message);
  }
}

function list(containers: ContainerSource, query: URLSearchParams) {
  const filters = query.get('filters');
  const matches = parseFilters(filters);
  // Asking for a status or for the last n means all of them, running or not.
  const limit = Number(query.get('limit') ?? 0);
  const all =
    /^(1|true)$/i.test(query.get('all') ?? '') || limit > 0 || (filters?.includes('"status"') ?? false);
  const found = containers
    .list()
    .map(toDockerContainer)
    .filter((one) => (all || one.container.status === 'running') && matches(one))
    .sort((a, b) => b.container.createdAtMs - a.container.createdAtMs);
  return (limit > 0 ? found.slice(0, limit) : found).map((one) => toSummary(one, Date.now()));
}

/** By full id, name, or the beginning of an id that fits one container only. */
function find(containers: ContainerSource, given: string): DockerContainer {
  const known = containers.list().map(toDockerContainer);
  const name = given.replace(/^\//, '');
  const exact = known.find((one) => one.id === name || one.name === name);
  if (exact) return exact;
  const [first, ...more] = /^[0-9a-f]+$/.test(name) ? known.filter((one) => one.id.startsWith(name)) : [];
  if (!first || more.length > 0) throw new PlatformError('not_found', `No such container: ${given}`);
  return first;
}

function version() {
  return {
    Platform: { Name: 'Gantry' },
    Components: [{ Name: 'Engine', Version: VERSION, Details: { ApiVersion: API_VERSION } }],
    Version: VERSION,
    ApiVersion: API_VERSION,
    MinAPIVersion: MIN_API_VERSION,
    Os: 'linux',
    Arch: ARCHITECTURES[arch()] ?? arch(),
    KernelVersion: release(),
    GitCommit: '',
    GoVersion: '',
    BuildTime: '',
  };
}

function info(containers: ContainerSource) {
  const all = containers.list();
  const running = all.filter((container) => container.status === 'running').length;
  return {
    ID: hostname(),
    Name: hostname(),
    ServerVersion: VERSION,
    Containers: all.length,
    ContainersRunning: running,
    ContainersPaused: 0,
    ContainersStopped: all.length - running,
    Images: 0,
    Driver: 'overlay2',
    LoggingDriver: 'k8s-file',
    OSType: 'linux',
    OperatingSystem: 'Gantry',
    Architecture: arch() === 'x64' ? 'x86_64' : arch() === 'arm64' ? 'aarch64' : arch(),
    KernelVersion: release(),
    NCPU: availableParallelism(),
    MemTotal: totalmem(),
    DockerRootDir: '',
    Plugins: { Volume: [], Network: [], Authorization: null, Log: [] },
    Swarm: { LocalNodeState: 'inactive' },
    SecurityOptions: ['name=seccomp', 'name=userns'],
    Warnings: [
      'This is Gantry. Its Docker API is read-only for now: ping, version, info, and listing and inspecting containers.',
    ],
  };
}
