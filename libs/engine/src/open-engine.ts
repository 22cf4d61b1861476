import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { PlatformError } from '#libs/errors';
import type { Exec } from '#libs/host';
import { ContainerStore } from './container/container-store.ts';
import { Containers, ownOpenFilesLimit } from './container/containers.ts';
import type { EngineParts } from './container/parts.ts';
import { recoverContainers } from './container/recover-containers.ts';
import { ImageStore } from './content/image-store.ts';
import { LayerStore } from './content/layer-store.ts';
import { IdRanges } from './id-ranges.ts';
import { detectCgroups, prepareParents } from './kernel/cgroups.ts';
import { mountTree, unmount } from './kernel/libc.ts';
import { kernelNames } from './kernel/names.ts';
import { currentBootId } from './kernel/process-identity.ts';
import { requireProgram } from './kernel/programs.ts';
import { LocalEngine } from './local-engine.ts';
import { Network } from './network/network.ts';
import { UserNamespaces } from './rootfs/user-namespaces.ts';
import { Conmon } from './runtime/conmon.ts';
import { chooseRuntime } from './runtime/runtime.ts';
import { seccompProfile } from './runtime/seccomp-profile.ts';
import type { Engine, EngineConfig, EngineDeps } from './types.ts';

/** Container root is an unprivileged id of the host: every folder on the way to a rootfs must let it pass. */
async function requireTraversable(root: string): Promise<void> {
  for (let folder = root; ; folder = path.dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) {
      throw new PlatformError(
        'unsupported',
        `containers cannot reach their files: ${folder} lets nobody pass`,
        {
          hint: `run: chmod o+x ${folder}`,
        },
      );
    }
    if (folder === path.dirname(folder)) return;
  }
}

async function requirePrograms() {
  return {
    nft: await requireProgram('nft', 'nftables'),
    ip: await requireProgram('ip', 'iproute2'),
    unshare: await requireProgram('unshare', 'util-linux'),
    conmon: await requireProgram('conmon', 'conmon'),
    init: await requireProgram('tini-static', 'tini'),
  };
}

function layerStore({ root, sharedLayers }: EngineConfig, exec: Exec): LayerStore {
  const shared = sharedLayers === undefined ? undefined : new LayerStore(sharedLayers, exec);
  return new LayerStore(path.join(root, 'layers'), exec, shared);
}

async function requireOverlay(exec: Exec): Promise<void> {
  const known = () => /^nodev\toverlay$/m.test(readFileSync('/proc/filesystems', 'utf8'));
  if (known()) return;
  await exec.tryRun('modprobe', ['overlay']).catch(() => undefined); // modprobe itself may be missing
  if (known()) return;
  throw new PlatformError('unsupported', 'this kernel has no overlay file system', {
    hint: 'use a kernel built with CONFIG_OVERLAY_FS, or load its module',
  });
}

/** Tries an idmapped mount where the layers are, since not every file system takes one. */
async function requireIdmappedMounts(root: string, mounts: string, namespaceFd: number): Promise<void> {
  const target = path.join(mounts, `probe-${randomBytes(4).toString('hex')}`);
  await mkdir(target, { recursive: true, mode: 0o700 });
  try {
    mountTree({ source: path.join(root, 'layers'), target, attributes: 0, userNamespaceFd: namespaceFd });
    unmount(target);
  } catch (cause) {
    throw new PlatformError('unsupported', `the file system of ${root} takes no idmapped mounts`, {
      cause,
      hint: 'use a kernel of at least 5.19 and put the data folder on ext4, xfs or btrfs',
    });
  } finally {
    await rmdir(target);
  }
}

/**
 * Opens the engine: checks the machine, takes down what was half made, adopts what runs. One process at a time may have
 * an installation open. Throws `unsupported`, with what to do, when the machine lacks something that containers need.
 */
export async function openEngine(config: EngineConfig, deps: EngineDeps): Promise<Engine> {
  const names = kernelNames(config.installationId);
  const root = path.resolve(config.root);
  if (process.getuid?.() !== 0) {
    throw new PlatformError('unsupported', 'the container engine needs root', { hint: 'run it with sudo' });
  }
  const cgroups = detectCgroups();
  const programs = await requirePrograms();
  await requireOverlay(deps.exec);
  await mkdir(root, { recursive: true, mode: 0o711 });
  await requireTraversable(root);

  const stateFolder = path.join(names.runFolder, 'runtime');
  await mkdir(stateFolder, { recursive: true, mode: 0o700 });
  const runtime = await chooseRuntime(cgroups, stateFolder, deps.clock);
  await prepareParents(cgroups, names.label);

  const store = new ContainerStore(root, names.label, deps.exec);
  const layers = layerStore(config, deps.exec);
  const images = new ImageStore(root, layers);
  await store.prepare();
  await layers.prepare();
  await images.prepare();

  const idRanges = await IdRanges.open(root, config.installationId);
  const userNamespaces = new UserNamespaces(deps.exec, programs.unshare);
  try {
    const probe = await userNamespaces.get(idRanges.windowStart);
    await requireIdmappedMounts(root, path.join(root, 'mounts', names.label), probe);
    const { table, linkPrefix } = names;
    const network = await Network.open(
      { root, table, linkPrefix, nameServers: config.nameServers, programs },
      deps.exec,
    );
    if (!network.flowsAreLimited)
      deps.log.warn(
        'this kernel cannot count connections (nft_connlimit): any container may use up all of them',
      );
    const parts: EngineParts = {
      ...deps,
      names,
      bootId: currentBootId(),
      cgroups,
      runtime,
      conmon: new Conmon(programs.conmon, runtime, deps.exec),
      initProgram: programs.init,
      seccomp: seccompProfile(process.arch),
      maxOpenFiles: await ownOpenFilesLimit(),
      hasIpv6: existsSync('/proc/sys/net/ipv6'),
      store,
      layers,
      idRanges,
      userNamespaces,
      network,
    };
    const containers = new Containers(parts);
    const engine = new LocalEngine(parts, images, containers);
    await recoverContainers(parts, containers).catch(async (error: unknown) => {
      await engine.close();
      throw error;
    });
    return engine;
  } catch (error) {
    await userNamespaces.close();
    throw error;
  }
}
