import { lstat, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PlatformError, withCleanupErrors } from '#libs/errors';
import { joinGroup } from '../kernel/cgroups.ts';
import { MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, mountTree } from '../kernel/libc.ts';
import { setUpNetworkNamespace } from '../kernel/netlink.ts';
import { identifyProcess } from '../kernel/process-identity.ts';
import type { Endpoint } from '../network/network.ts';
import { mountRootfs } from '../rootfs/mount-rootfs.ts';
import { resolveUser } from '../rootfs/resolve-user.ts';
import { INIT_PATH, ociConfig } from '../runtime/bundle.ts';
import type { ContainerMount, ContainerSpec } from '../types.ts';
import type { ContainerFolder } from './container-store.ts';
import { cgroupOf, type EngineParts, runtimeIdOf } from './parts.ts';
import type { ContainerState } from './record.ts';
import { removeRemains } from './remove-container.ts';

/** A folder is bound on a folder, a file on a file; anything else has no business in a container. */
async function makeMountPoint(mount: ContainerMount, point: string): Promise<void> {
  const source = await lstat(mount.source).catch((cause: unknown) => {
    throw new PlatformError('not_found', `${mount.source}, to be mounted at ${mount.target}, is not there`, {
      cause,
    });
  });
  if (source.isDirectory()) await mkdir(point, { mode: 0o700 });
  else if (source.isFile()) await writeFile(point, '', { mode: 0o600 });
  else {
    throw new PlatformError('invalid_input', `${mount.source} is neither a folder nor a file`, {
      hint: 'mount a folder or a regular file; links are not followed',
    });
  }
}

interface Placement {
  folder: ContainerFolder;
  firstId: number;
  userNamespaceFd: number;
}

/** Mounts the spec's mounts on the host with all their flags; the runtime only binds the result. */
async function prepareMounts(spec: ContainerSpec, { folder, userNamespaceFd }: Placement) {
  const binds: { source: string; target: string }[] = [];
  for (const [index, mount] of spec.mounts.entries()) {
    const point = path.join(folder.mounts, `mount-${index}`);
    await makeMountPoint(mount, point);
    mountTree({
      source: mount.source,
      target: point,
      attributes: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (mount.readonly ? MOUNT_ATTR_RDONLY : 0),
      userNamespaceFd: mount.ownership === 'mapped' ? userNamespaceFd : undefined,
    });
    binds.push({ source: point, target: mount.target });
  }
  return binds;
}

/** Host root owns these, which containers see as nobody: readable, not writable. */
async function writeNetworkFiles(
  parts: EngineParts,
  spec: ContainerSpec,
  folder: ContainerFolder,
  endpoint: Endpoint | undefined,
) {
  const servers = endpoint ? await parts.network.nameServers() : [];
  const files: Record<string, string> = {
    'resolv.conf': servers.map((address) => `nameserver ${address}\n`).join(''),
    hosts: `127.0.0.1 localhost\n::1 localhost\n${endpoint?.address ?? '127.0.1.1'} ${spec.hostname}\n`,
    hostname: `${spec.hostname}\n`,
  };
  return Promise.all(
    Object.entries(files).map(async ([name, text]) => {
      const source = path.join(folder.etc, name);
      await writeFile(source, text, { mode: 0o644 });
      return { source, target: `/etc/${name}` };
    }),
  );
}

/** A rootfs in which these lead elsewhere could make the runtime mount or write in the wrong place. */
async function refuseMisleadingRootfs(rootfs: string): Promise<void> {
  for (const name of ['dev', 'proc', 'sys', 'etc']) {
    const kind = await lstat(path.join(rootfs, name)).catch(() => undefined);
    if (kind && !kind.isDirectory()) {
      throw new PlatformError('invalid_input', `the image's /${name} is not a folder`, {
        hint: `rebuild the image with a plain folder /${name}, or none`,
      });
    }
  }
}

async function writeBundle(
  parts: EngineParts,
  spec: ContainerSpec,
  place: Placement,
  endpoint: Endpoint | undefined,
): Promise<void> {
  const { folder, firstId } = place;
  const binds = [
    ...(await writeNetworkFiles(parts, spec, folder, endpoint)),
    ...(await prepareMounts(spec, place)),
    ...(spec.init ? [{ source: parts.initProgram, target: INIT_PATH }] : []),
  ];
  const config = ociConfig({
    spec,
    rootfs: folder.rootfs,
    cgroup: cgroupOf(parts, spec.profile, spec.id),
    firstId,
    user: resolveUser(folder.rootfs, spec.user),
    seccomp: parts.seccomp,
    binds,
    maxOpenFiles: parts.maxOpenFiles,
    swapLimit: parts.cgroups.swapLimit,
    hasIpv6: parts.hasIpv6,
  });
  await writeFile(path.join(folder.bundle, 'config.json'), JSON.stringify(config), { mode: 0o600 });
}

async function placeContainer(parts: EngineParts, spec: ContainerSpec): Promise<Placement> {
  const layers = await parts.layers.folders(spec.layers, spec.organizationId);
  const firstId = await parts.idRanges.allot(spec.ownerId);
  const userNamespaceFd = await parts.userNamespaces.get(firstId);
  const folder = await parts.store.make(spec);
  await mountRootfs({
    label: parts.names.label,
    layers,
    scratch: folder.mounts,
    rootfs: folder.rootfs,
    upper: folder.upper,
    work: folder.work,
    firstId,
    userNamespaceFd,
    nosuid: spec.profile === 'instance',
  });
  await refuseMisleadingRootfs(folder.rootfs);
  return { folder, firstId, userNamespaceFd };
}

async function makeProcess(
  parts: EngineParts,
  spec: ContainerSpec,
  folder: ContainerFolder,
  endpoint: Endpoint | undefined,
): Promise<ContainerState> {
  const { pid, monitorPid } = await parts.conmon.create({
    runtimeId: runtimeIdOf(parts, spec.id),
    folder: folder.folder,
    bundle: folder.bundle,
    exitFolder: parts.store.exitFolder,
    logFile: folder.logFile,
    logMaxBytes: spec.logMaxBytes,
  });
  const init = identifyProcess(pid, parts.bootId);
  if (!init) throw new PlatformError('internal', `the process of container ${spec.id} ended as it was made`);
  const attachment = endpoint && (await parts.network.attachment(spec.organizationId, endpoint));
  setUpNetworkNamespace(pid, attachment);
  await joinGroup(parts.cgroups, `/${parts.names.label}/monitor`, monitorPid);
  return {
    runtime: parts.runtime.name,
    init,
    monitor: identifyProcess(monitorPid, parts.bootId) ?? null,
    address: endpoint?.address ?? null,
    link: endpoint?.link ?? null,
    createdAtMs: parts.clock.now(),
    startedAtMs: null,
    exit: null,
  };
}

/**
 * Makes everything of a container but its run: folder, rootfs, mounts, process (stopped before its first instruction),
 * network; the state on disk comes last and says that the rest is there. On a failure all of it is removed again.
 */
export async function createContainer(parts: EngineParts, spec: ContainerSpec): Promise<ContainerState> {
  let endpoint: Endpoint | undefined;
  try {
    const place = await placeContainer(parts, spec);
    endpoint = spec.network === 'bridge' ? await parts.network.reserve(spec.organizationId) : undefined;
    await writeBundle(parts, spec, place, endpoint);
    const state = await makeProcess(parts, spec, place.folder, endpoint);
    await parts.store.saveState(spec.id, state);
    return state;
  } catch (error) {
    const cleanup = await removeRemains(parts, {
      id: spec.id,
      profile: spec.profile,
      link: endpoint?.link ?? null,
    })
      .then(() => [])
      .catch((failure: unknown) => [failure]);
    if (endpoint) parts.network.release(endpoint.address);
    throw withCleanupErrors(error, cleanup);
  }
}
