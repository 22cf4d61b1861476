import { PlatformError } from '#libs/errors';

/** What the things of one installation are called in the kernel. Nothing of it is made under another name. */
export interface KernelNames {
  /** Top cgroup, source of overlay mounts, and a folder on the way to every mount point. */
  label: string;
  /** Name of the nft table. */
  table: string;
  /** What the names of network links begin with: seven of the fifteen characters that there are. */
  linkPrefix: string;
  /** What the runtime's names of containers begin with. */
  containerPrefix: string;
  /** Where runtimes keep the state of running containers; gone after a reboot, as these are. */
  runFolder: string;
}

/** Throws `invalid_input` unless the id is five characters of 0-9a-z. */
export function kernelNames(installationId: string): KernelNames {
  if (!/^[0-9a-z]{5}$/.test(installationId)) {
    throw new PlatformError('invalid_input', `${JSON.stringify(installationId)} is not an installation id`, {
      hint: 'an installation id is five characters of 0-9 and a-z',
    });
  }
  const label = `gantry-${installationId}`;
  return {
    label,
    table: `gantry_${installationId}`,
    linkPrefix: `gt${installationId}`,
    containerPrefix: `${label}-`,
    runFolder: `/run/${label}`,
  };
}
