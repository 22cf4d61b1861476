import { z } from 'zod';
import { isSignal, type ProcessIdentity } from '../kernel/process-identity.ts';
import type { Container, ContainerExit, ContainerSpec } from '../types.ts';

const IdentitySchema = z.object({ pid: z.int(), startTicks: z.string(), bootId: z.string() });

/** `state.json`: what the folder's name and spec.json do not say. */
export const StateSchema = z.object({
  runtime: z.enum(['crun', 'runc']),
  init: IdentitySchema,
  monitor: IdentitySchema.nullable(),
  address: z.string().nullable(),
  /** Host end of the network link. */
  link: z.string().nullable(),
  createdAtMs: z.number(),
  /** Written before the process is let run, so a crash in between is seen as a start to be finished. */
  startedAtMs: z.number().nullable(),
  exit: z.object({ code: z.int(), oomKilled: z.boolean(), atMs: z.number() }).nullable(),
});
export type ContainerState = z.infer<typeof StateSchema>;

/** Arguments and variables together; the kernel takes about twice that (execve(2)), and runc is slow well before. */
const MAX_EXEC_BYTES = 1 << 20;
const MAX_VARIABLES = 4096;

const withoutNul = z.string().refine((text) => !text.includes('\0'), 'NUL cannot be passed');

const execBytes = ({ argv, env }: { argv: string[]; env: Record<string, string> }): number =>
  [...argv, ...Object.entries(env).flat()].reduce((bytes, text) => bytes + Buffer.byteLength(text) + 1, 0);

const SpecFields = z.object({
  id: z.string().regex(/^[0-9a-z_]{1,40}$/, 'use 1 to 40 characters of 0-9, a-z and _'),
  organizationId: z.string().min(1).max(64),
  ownerId: z.string().min(1).max(64),
  profile: z.enum(['instance', 'build']),
  labels: z.record(z.string(), z.string()),
  layers: z.array(z.string().regex(/^sha256:[0-9a-f]{64}$/)).min(1),
  init: z.boolean().optional(),
  argv: z.array(withoutNul).min(1).max(4096),
  env: z.record(z.string().regex(/^[^=\0]+$/, 'a name holds no = and no NUL'), withoutNul),
  workingDir: withoutNul.max(4096),
  user: z.string().max(256),
  hostname: z
    .string()
    .regex(/^[A-Za-z0-9]([A-Za-z0-9.-]{0,62})$/, 'use a host name of at most 63 characters'),
  resources: z.object({
    memoryBytes: z.int().min(6 << 20),
    cpus: z.number().positive().max(4096),
    pids: z.int().min(1).max(4_194_304),
  }),
  mounts: z
    .array(
      z.object({
        source: z.string().startsWith('/'),
        target: z.string().startsWith('/').max(4096),
        readonly: z.boolean().optional(),
        ownership: z.enum(['mapped', 'owned']),
      }),
    )
    .max(64),
  network: z.enum(['bridge', 'none']),
  stopSignal: z.string().refine(isSignal, 'is not a signal').optional(),
  logMaxBytes: z.int().min(4096),
});

export const SpecSchema: z.ZodType<ContainerSpec> = SpecFields.refine(
  ({ env }) => Object.keys(env).length <= MAX_VARIABLES,
  { path: ['env'], message: `more than ${MAX_VARIABLES} variables` },
).refine((spec) => execBytes(spec) <= MAX_EXEC_BYTES, {
  path: ['argv'],
  message: `arguments and variables take more than ${MAX_EXEC_BYTES >> 20} MiB`,
});

/** A container as the engine keeps it in memory. */
export interface ContainerRecord {
  readonly spec: ContainerSpec;
  readonly logFile: string;
  state: ContainerState;
  /** Set once `remove` has begun: nothing else may be done with it. */
  removing: boolean;
  readonly ended: PromiseWithResolvers<ContainerExit>;
}

export function newRecord(spec: ContainerSpec, logFile: string, state: ContainerState): ContainerRecord {
  const ended = Promise.withResolvers<ContainerExit>();
  if (state.exit) ended.resolve(state.exit);
  return { spec, logFile, state, removing: false, ended };
}

/** The public view: a copy that later changes do not reach. */
export function toContainer({ spec, logFile, state }: ContainerRecord): Container {
  const status = state.exit ? 'exited' : state.startedAtMs === null ? 'created' : 'running';
  return {
    spec,
    status,
    pid: state.exit ? null : state.init.pid,
    address: state.address,
    createdAtMs: state.createdAtMs,
    startedAtMs: state.startedAtMs,
    exit: state.exit,
    logFile,
  };
}

export function initIdentity(record: ContainerRecord): ProcessIdentity {
  return record.state.init;
}
