import { z } from 'zod';
import { AppSlug, ConfigName, Digest, Id, MountPath, ServiceName, Timestamp, VolumeName } from './names.ts';

export const Role = z.enum(['owner', 'developer', 'viewer']);

export const Identity = z.object({
  user: z.object({ id: Id, name: z.string() }),
  organization: z.object({ id: Id, slug: z.string() }),
  role: Role,
  operator: z.boolean().describe('may see and change the platform itself'),
});

export const App = z.object({
  id: Id,
  slug: AppSlug,
  organization: z.string().describe("the organization's slug"),
  url: z.url(),
  gitUrl: z.url(),
  status: z.enum(['empty', 'building', 'deploying', 'running', 'stopped', 'crashed']),
  release: z.number().int().nullable().describe('number of the release that serves'),
  services: z.array(z.object({ name: ServiceName, scale: z.number().int(), healthy: z.number().int() })),
  createdAt: Timestamp,
});

export const ConfigMap = z.record(ConfigName, z.string().max(32_768));

export const BuildStatus = z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']);
export const Build = z.object({
  id: Id,
  number: z.number().int(),
  status: BuildStatus,
  source: z.object({ kind: z.enum(['git']), commit: z.string() }),
  image: z.string().nullable().describe('reference with digest of what was built'),
  error: z.string().nullable(),
  timings: z
    .record(z.string(), z.number())
    .nullable()
    .describe('milliseconds by stage, once it has succeeded'),
  createdAt: Timestamp,
  startedAt: Timestamp.nullable(),
  finishedAt: Timestamp.nullable(),
});

/** What one service of a release runs. An argv that is null means the image's own entrypoint and command. */
export const ServiceDefinition = z.object({
  name: ServiceName,
  argv: z.array(z.string().refine((text) => !text.includes('\0'), 'NUL cannot be passed')).nullable(),
});

export const Release = z.object({
  id: Id,
  number: z.number().int(),
  image: z.string(),
  digest: Digest,
  reason: z.string().describe('e.g. "build #3", "config change", "rollback to v2"'),
  services: z.array(ServiceDefinition),
  current: z.boolean(),
  createdAt: Timestamp,
});

export const DeploymentStatus = z.enum(['pending', 'running', 'succeeded', 'failed', 'superseded']);
export const Deployment = z.object({
  id: Id,
  release: z.number().int(),
  status: DeploymentStatus,
  message: z.string().nullable().describe('why it failed, or what it waits for'),
  url: z.url(),
  createdAt: Timestamp,
  finishedAt: Timestamp.nullable(),
});

/** A line of a task that is watched as it happens; the stream ends after a line with `status`. */
export const ProgressEvent = z.object({
  at: Timestamp,
  text: z.string().optional(),
  status: z.enum(['succeeded', 'failed']).optional(),
});

/** What an agent says of an instance. */
export const InstanceState = z.enum([
  'pending', // placed, nothing done yet
  'pulling', // layers on their way
  'starting', // process runs, health check has not passed yet
  'healthy',
  'unhealthy', // was healthy, health check fails now
  'backoff', // process ended; waits before the next try
  'failed', // cannot be created: message says why
  'stopping',
  'stopped',
]);

/** How a process ended. Signal is set when one ended it, with code = 128 + its number. */
export const Exit = z.object({
  code: z.number().int(),
  oomKilled: z.boolean(),
  at: Timestamp,
});

export const Instance = z.object({
  id: Id,
  service: ServiceName,
  release: z.number().int(),
  node: z.string(),
  state: InstanceState,
  draining: z.boolean(),
  restarts: z.number().int(),
  address: z.object({ host: z.string(), port: z.number().int() }).nullable(),
  lastExit: Exit.nullable(),
  message: z.string().nullable(),
  startedAt: Timestamp.nullable(),
  createdAt: Timestamp,
});

export const Volume = z.object({
  id: Id,
  name: VolumeName,
  mountPath: MountPath,
  node: z.string().nullable().describe('where the data lies; null until first used'),
  createdAt: Timestamp,
});

export const LogEntry = z.object({
  at: Timestamp,
  service: ServiceName,
  instance: Id,
  stream: z.enum(['stdout', 'stderr', 'platform']),
  text: z.string(),
});

export const Token = z.object({
  id: Id,
  name: z.string(),
  createdAt: Timestamp,
  lastUsedAt: Timestamp.nullable(),
});

export const Node = z.object({
  id: Id,
  name: z.string(),
  status: z.enum(['ready', 'lost']),
  memoryBytes: z.number().int(),
  cpus: z.number(),
  instances: z.number().int(),
  version: z.string(),
  lastSeenAt: Timestamp.nullable(),
});

export const PlatformStatus = z.object({
  version: z.string(),
  domain: z.string(),
  ready: z.boolean(),
  components: z.array(z.object({ name: z.string(), status: z.enum(['up', 'down']), message: z.string() })),
  apps: z.number().int(),
  instances: z.number().int(),
});

/** RFC 9457 problem details; `code` is the PlatformError code, `hint` what to do next. */
export const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  code: z.string(),
  detail: z.string(),
  hint: z.string().optional(),
  details: z.record(z.string(), z.unknown()).optional(),
});

export type Identity = z.infer<typeof Identity>;
export type App = z.infer<typeof App>;
export type ConfigMap = z.infer<typeof ConfigMap>;
export type Build = z.infer<typeof Build>;
export type BuildStatus = z.infer<typeof BuildStatus>;
export type ServiceDefinition = z.infer<typeof ServiceDefinition>;
export type Release = z.infer<typeof Release>;
export type Deployment = z.infer<typeof Deployment>;
export type DeploymentStatus = z.infer<typeof DeploymentStatus>;
export type ProgressEvent = z.infer<typeof ProgressEvent>;
export type InstanceState = z.infer<typeof InstanceState>;
export type Exit = z.infer<typeof Exit>;
export type Instance = z.infer<typeof Instance>;
export type Volume = z.infer<typeof Volume>;
export type LogEntry = z.infer<typeof LogEntry>;
export type Token = z.infer<typeof Token>;
export type Node = z.infer<typeof Node>;
export type PlatformStatus = z.infer<typeof PlatformStatus>;
export type Problem = z.infer<typeof Problem>;
