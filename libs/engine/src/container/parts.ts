import type { LayerStore } from '../content/layer-store.ts';
import type { IdRanges } from '../id-ranges.ts';
import type { CgroupLayout } from '../kernel/cgroups.ts';
import type { KernelNames } from '../kernel/names.ts';
import type { Network } from '../network/network.ts';
import type { UserNamespaces } from '../rootfs/user-namespaces.ts';
import type { Conmon } from '../runtime/conmon.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { SeccompProfile } from '../runtime/seccomp-profile.ts';
import type { ContainerProfile, EngineDeps } from '../types.ts';
import type { ContainerStore } from './container-store.ts';

/** What the operations on containers work with; put together once, in open-engine.ts. */
export interface EngineParts extends EngineDeps {
  names: KernelNames;
  bootId: string;
  cgroups: CgroupLayout;
  runtime: Runtime;
  conmon: Conmon;
  /** A static init on the host, shown to containers that ask for one. */
  initProgram: string;
  seccomp: SeccompProfile;
  maxOpenFiles: number;
  /** Whether this kernel has IPv6. */
  hasIpv6: boolean;
  store: ContainerStore;
  layers: LayerStore;
  idRanges: IdRanges;
  userNamespaces: UserNamespaces;
  network: Network;
}

/** Path of a container's cgroup in every hierarchy (OCI `linux.cgroupsPath`). */
export function cgroupOf(parts: EngineParts, profile: ContainerProfile, id: string): string {
  return `/${parts.names.label}/${profile}/${id}`;
}

/** The container's name for conmon and the runtime. */
export function runtimeIdOf(parts: EngineParts, id: string): string {
  return `${parts.names.containerPrefix}${id}`;
}
