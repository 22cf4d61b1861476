import { z } from 'zod';
import { AppSlug, Digest, Id, MountPath, ServiceName, Timestamp, VolumeName } from './names.ts';
import { Exit, InstanceState, ServiceDefinition } from './resources.ts';

/**
 * Desired and observed state of one worker node. Level-triggered: the agent always pulls the whole of what it
 * should do and pushes the whole of what it sees, so a lost message costs latency and never correctness.
 */

export const Resources = z.object({
  memoryBytes: z.number().int().positive(),
  cpus: z.number().positive().describe('CPU quota in cores'),
  pids: z.number().int().positive(),
});

/** How the agent decides that an instance may get requests: a TCP connect to `port`, or nothing for workers. */
export const HealthCheck = z.object({
  kind: z.enum(['tcp', 'none']),
  startTimeoutSeconds: z.number().int().positive(),
});

export const DesiredInstance = z.object({
  id: Id,
  /** Fences a placement: it only ever grows; a report with an older one is ignored. */
  generation: z.number().int().nonnegative(),
  organization: z.object({ id: Id }),
  app: z.object({ id: Id, slug: AppSlug }),
  service: ServiceName,
  release: z.number().int(),
  image: z.object({
    /** Repository without host in the platform's registry (`<app id>/app`), or a full reference elsewhere. */
    repository: z.string(),
    digest: Digest,
    /** `platform` is pulled from the control plane's registry with the node's token. */
    source: z.enum(['platform', 'external']),
  }),
  argv: z.array(z.string()).nullable(),
  env: z.record(z.string(), z.string()),
  /** The port the app is told to listen on (`$PORT`), inside its own network namespace. */
  port: z.number().int(),
  resources: Resources,
  health: HealthCheck,
  volumes: z.array(z.object({ id: Id, name: VolumeName, mountPath: MountPath })),
  stopGraceSeconds: z.number().int().nonnegative(),
});

export const DesiredBuild = z.object({
  id: Id,
  number: z.number().int(),
  organization: z.object({ id: Id }),
  app: z.object({ id: Id, slug: AppSlug }),
  /** Seconds since the epoch of the commit: every time stamp in the image (SOURCE_DATE_EPOCH). */
  sourceDateEpoch: z.number().int(),
  commit: z.string(),
  /** Where the image goes in the platform's registry. */
  repository: z.string(),
  /** Visible to build steps; never in layers. */
  env: z.record(z.string(), z.string()),
  resources: Resources,
  timeoutSeconds: z.number().int().positive(),
});

/** What a node should run: an instance that is not listed is stopped and removed, a build not listed is cancelled. */
export const DesiredState = z.object({
  version: z.number().int(),
  instances: z.array(DesiredInstance),
  builds: z.array(DesiredBuild),
  /** Every volume that exists for this node; a folder of one that is not listed may be deleted. */
  volumes: z.array(z.object({ id: Id, name: VolumeName, app: z.object({ id: Id }) })),
});

export const ObservedInstance = z.object({
  id: Id,
  generation: z.number().int(),
  state: InstanceState,
  address: z.object({ host: z.string(), port: z.number().int() }).nullable(),
  restarts: z.number().int(),
  lastExit: Exit.nullable(),
  message: z.string().nullable(),
  startedAt: Timestamp.nullable(),
});

export const ObservedState = z.object({
  name: z.string().describe("the node's host name"),
  version: z.string().describe("the agent's version"),
  capacity: z.object({ memoryBytes: z.number().int(), cpus: z.number() }),
  /** The desired version that this report already reflects. */
  desiredVersion: z.number().int(),
  instances: z.array(ObservedInstance),
});

/** What a build made: the image in the platform's registry and its process types. */
export const BuildResult = z.discriminatedUnion('status', [
  z.object({
    status: z.literal('succeeded'),
    digest: Digest,
    services: z.array(ServiceDefinition).min(1),
    /** Milliseconds by stage, for the push-to-live breakdown. */
    timings: z.record(z.string(), z.number()),
  }),
  z.object({ status: z.literal('failed'), error: z.string() }),
]);

export const InstanceLogBatch = z.object({
  instance: Id,
  entries: z
    .array(
      z.object({
        at: Timestamp,
        stream: z.enum(['stdout', 'stderr', 'platform']),
        text: z.string().max(16_384),
      }),
    )
    .max(1_000),
});

export type Resources = z.infer<typeof Resources>;
export type HealthCheck = z.infer<typeof HealthCheck>;
export type DesiredInstance = z.infer<typeof DesiredInstance>;
export type DesiredBuild = z.infer<typeof DesiredBuild>;
export type DesiredState = z.infer<typeof DesiredState>;
export type ObservedInstance = z.infer<typeof ObservedInstance>;
export type ObservedState = z.infer<typeof ObservedState>;
export type BuildResult = z.infer<typeof BuildResult>;
export type InstanceLogBatch = z.infer<typeof InstanceLogBatch>;
