import { createHash } from 'node:crypto';
import type { Container } from '#libs/engine';
import { toInstanceContainer } from '../instances/container-labels.ts';

/** A container under the names that Docker's clients know it by. */
export interface DockerContainer {
  /** 64 hex digits, from the engine's id. */
  id: string;
  name: string;
  image: string;
  imageId: string;
  container: Container;
}

export function toDockerContainer(container: Container): DockerContainer {
  const { spec } = container;
  const labels = toInstanceContainer(container)?.labels;
  const image = labels?.image ?? '';
  return {
    id: createHash('sha256').update(spec.id).digest('hex'),
    name: labels ? `${labels.slug}.${labels.service}.${spec.id}` : spec.id,
    image,
    imageId: image.split('@')[1] ?? '',
    container,
  };
}

/** One element of `GET /containers/json`. */
export function toSummary({ id, name, image, imageId, container }: DockerContainer, nowMs: number) {
  return {
    Id: id,
    Names: [`/${name}`],
    Image: image,
    ImageID: imageId,
    Command: container.spec.argv.join(' '),
    Created: Math.floor(container.createdAtMs / 1000),
    Ports: [],
    Labels: container.spec.labels,
    State: container.status,
    Status: statusText(container, nowMs),
    HostConfig: { NetworkMode: container.spec.network },
    NetworkSettings: { Networks: networks(container) },
    Mounts: mounts(container),
  };
}

/** `GET /containers/{id}/json`. */
export function toInspection({ id, name, image, imageId, container }: DockerContainer) {
  const { spec } = container;
  return {
    Id: id,
    Created: new Date(container.createdAtMs).toISOString(),
    Path: spec.argv[0] ?? '',
    Args: spec.argv.slice(1),
    State: state(container),
    Image: imageId,
    LogPath: container.logFile,
    Name: `/${name}`,
    RestartCount: 0,
    Driver: 'overlay2',
    Platform: 'linux',
    Mounts: mounts(container),
    HostConfig: {
      NetworkMode: spec.network,
      Memory: spec.resources.memoryBytes,
      NanoCpus: Math.round(spec.resources.cpus * 1e9),
      PidsLimit: spec.resources.pids,
      RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    },
    Config: {
      Hostname: spec.hostname,
      User: spec.user,
      Env: Object.entries(spec.env).map(([key, value]) => `${key}=${value}`),
      Cmd: spec.argv,
      Image: image,
      WorkingDir: spec.workingDir,
      Entrypoint: null,
      Labels: spec.labels,
      Tty: false,
      OpenStdin: false,
    },
    NetworkSettings: { IPAddress: container.address ?? '', Ports: {}, Networks: networks(container) },
  };
}

function state({ status, exit, pid, startedAtMs }: Container) {
  const never = '0001-01-01T00:00:00Z';
  return {
    Status: status,
    Running: status === 'running',
    Paused: false,
    Restarting: false,
    OOMKilled: exit?.oomKilled ?? false,
    Dead: false,
    Pid: pid ?? 0,
    ExitCode: exit?.code ?? 0,
    Error: '',
    StartedAt: startedAtMs === null ? never : new Date(startedAtMs).toISOString(),
    FinishedAt: exit ? new Date(exit.atMs).toISOString() : never,
  };
}

function networks({ address, spec }: Container) {
  return spec.network === 'none' ? {} : { [spec.network]: { IPAddress: address ?? '', Aliases: null } };
}

function mounts({ spec }: Container) {
  return spec.mounts.map(({ source, target, readonly }) => ({
    Type: 'bind',
    Source: source,
    Destination: target,
    Mode: '',
    RW: !readonly,
    Propagation: 'rprivate',
  }));
}

function statusText({ status, startedAtMs, exit }: Container, nowMs: number): string {
  if (status === 'created' || startedAtMs === null) return 'Created';
  if (exit) return `Exited (${exit.code}) ${duration(nowMs - exit.atMs)} ago`;
  return `Up ${duration(nowMs - startedAtMs)}`;
}

/** A duration as Docker words it: `5 seconds`, `About a minute`, `3 hours`. */
function duration(ms: number): string {
  const seconds = Math.max(Math.floor(ms / 1000), 0);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  if (hours === 1) return 'About an hour';
  return hours < 48 ? `${hours} hours` : `${Math.floor(hours / 24)} days`;
}
