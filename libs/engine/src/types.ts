import type { Readable } from 'node:stream';
import type { Clock, Exec } from '#libs/host';
import type { Logger } from '#libs/log';
import type { RegistryReach } from '#libs/oci';

/** What an engine acts through. */
export interface EngineDeps {
  exec: Exec;
  clock: Clock;
  log: Logger;
}

/** What an engine needs to know of its surroundings. */
export interface EngineConfig {
  /** Folder that the engine owns. Every parent must be traversable by others (o+x): container root is unprivileged. */
  root: string;
  /** Five characters of [0-9a-z]; part of every name that the engine makes in the kernel. */
  installationId: string;
  /**
   * Folder of layers that several installations of a machine share, such as base images: `importLayer` with `share` puts
   * them there, every engine finds them there, and none prunes them.
   */
  sharedLayers?: string;
  /** Name servers for containers; those of the host's resolv.conf, loopback ones left out, unless told. */
  nameServers?: string[];
}

/** An image in the local store: ready to be run, all its layers unpacked. */
export interface Image {
  /** Digest of the manifest. */
  digest: string;
  /** diff ids (`sha256:…` of the uncompressed tar), lowest first. */
  layers: string[];
  config: ImageConfig;
}

/** The part of the OCI image configuration that running needs (OCI image spec, config.md). */
export interface ImageConfig {
  user: string;
  env: string[];
  entrypoint: string[];
  cmd: string[];
  workingDir: string;
  labels: Record<string, string>;
  stopSignal?: string;
}

export interface PullOptions {
  /** `host[:port]/repository@sha256:…` or with a tag. */
  reference: string;
  auth?: { username: string; password: string } | { token: string };
  /** The organization that the image is for; undefined makes its layers everybody's. */
  holder?: string;
  /** Plain http: only for the platform's own registry on loopback or a private network. */
  insecure?: boolean;
  /** `outside` for an image that a stranger names: nothing is asked of this machine, its containers and link-local addresses. */
  reach?: RegistryReach;
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
}

/** `instance`: tenants' running code, no capabilities. `build`: the same, but other cgroup parent and scratch space. */
export type ContainerProfile = 'instance' | 'build';

export interface ContainerMount {
  /** Host folder or file. Inside, files appear owned as the container's user namespace sees them. */
  source: string;
  target: string;
  readonly?: boolean;
  /**
   * `mapped`: the source is owned by host ids 0…65535 and is shown through an idmapped mount (shared read-only trees
   * such as buildpacks). `owned`: the source has been given to the container's id range (volumes, work folders).
   */
  ownership: 'mapped' | 'owned';
}

export interface ContainerSpec {
  /** 1–40 characters of [0-9a-z_]; the instance's or build step's id. */
  id: string;
  /** Network and addresses are per organization: containers of two organizations never reach each other. */
  organizationId: string;
  /** User-namespace owner: containers with the same one share an id range of 65,536. The app's id. */
  ownerId: string;
  profile: ContainerProfile;
  labels: Record<string, string>;
  layers: string[];
  argv: string[];
  /**
   * Makes `argv` the child of a small init that hands signals on and reaps orphans. Without one it is process 1 itself,
   * which the kernel shields from every signal that it does not handle, SIGTERM too.
   */
  init?: boolean;
  env: Record<string, string>;
  workingDir: string;
  /** `uid[:gid]` or names, as in the image config; resolved in the image's own passwd and group files. */
  user: string;
  hostname: string;
  resources: { memoryBytes: number; cpus: number; pids: number };
  mounts: ContainerMount[];
  network: 'bridge' | 'none';
  stopSignal?: string;
  /** Log kept on disk, in bytes. */
  logMaxBytes: number;
}

export type ContainerStatus = 'created' | 'running' | 'exited';

export interface ContainerExit {
  /** 0–255; 128 + signal number when a signal ended the process. */
  code: number;
  oomKilled: boolean;
  /** Milliseconds since the epoch. */
  atMs: number;
}

export interface Container {
  spec: ContainerSpec;
  status: ContainerStatus;
  /** Host process id of the container's init while it runs. */
  pid: number | null;
  /** IPv4 address on the organization's network. */
  address: string | null;
  createdAtMs: number;
  startedAtMs: number | null;
  exit: ContainerExit | null;
  /** k8s-file format: `<RFC 3339 with nanoseconds> <stdout|stderr> <F|P> <text>` a line. */
  logFile: string;
}

/** Something that carries the installation's id in the kernel; what `listKernelObjects` finds and teardown removes. */
export interface KernelObject {
  kind: 'process' | 'mount' | 'netns' | 'link' | 'nft-table' | 'cgroup';
  name: string;
}

/**
 * A container engine for one installation on one node. Every verb can be repeated after a crash: `open` finds what
 * earlier processes left, finishes or removes what is half-made, and re-adopts what runs.
 */
export interface Engine {
  /**
   * Fetches what is missing of an image: each layer once, however many images and callers of a `holder` want it. A layer
   * that is here because of another holder is fetched again, and only compared: containers of an organization run layers
   * whose content that organization has shown to have, or the node itself has brought.
   */
  pull(options: PullOptions): Promise<Image>;
  /** An image by manifest digest, if it is here with all its layers, and they are this holder's (an organization's id). */
  findImage(digest: string, holder?: string): Promise<Image | undefined>;
  /** Adds a layer from an uncompressed tar stream, verifying its diff id; a no-op when it is here. Without `holder` for all. */
  importLayer(diffId: string, tar: Readable, options?: { share?: boolean; holder?: string }): Promise<void>;
  hasLayer(diffId: string): Promise<boolean>;
  /**
   * Removes images and layers that neither a container nor `keepDigests` needs. These are manifest digests (the image
   * stays) or diff ids (that layer stays).
   */
  prune(keepDigests: ReadonlySet<string>): Promise<{ layersRemoved: number }>;

  /** Makes rootfs, namespaces, network and process, stopped before its first instruction. `conflict` if the id is taken. */
  create(spec: ContainerSpec): Promise<Container>;
  start(id: string): Promise<Container>;
  /** Stop signal, then SIGKILL after `graceMs`; returns once the process is gone. A no-op when it is not running. */
  stop(id: string, graceMs: number): Promise<ContainerExit | null>;
  kill(id: string, signal: string): Promise<void>;
  /** Kills what still runs and removes everything of the container, log included. A no-op when it is not there. */
  remove(id: string): Promise<void>;
  get(id: string): Container | undefined;
  list(): Container[];
  /** Resolves when the process ends; at once if it has ended. */
  wait(id: string): Promise<ContainerExit>;
  /**
   * What a container has written to its own file system, so beside its mounts: bytes on disk, and how many files.
   * Looks at every file; throws `timeout` when that takes over 30 s.
   */
  measure(id: string): Promise<{ bytes: number; files: number }>;
  /** Calls back for every process that ends from now on; returns the way to stop that. */
  onExit(listener: (id: string, exit: ContainerExit) => void): () => void;

  /** First host id of the 65,536 that belong to `ownerId`; allotted at first use and kept on disk. */
  idRange(ownerId: string): Promise<number>;
  /** Gives the range back once the owner is gone for good, its volumes too. `conflict` while it has containers. */
  releaseIdRange(ownerId: string): Promise<void>;

  /** Leaves containers running and lets go of everything that the process holds. */
  close(): Promise<void>;
}
