import type { DesiredInstance } from '#libs/contract';
import type { ContainerSpec, Image } from '#libs/engine';
import { PlatformError } from '#libs/errors';
import { containerId, toLabels } from './container-labels.ts';

/** Log kept on the node's disk for each container; older lines have long been sent to the control plane. */
export const LOG_MAX_BYTES = 10 * 1024 * 1024;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface ContainerSpecInput {
  instance: DesiredInstance;
  attempt: number;
  image: Image;
  /** Host folder of a volume. */
  volumePath: (volumeId: string) => string;
}

/**
 * The container of one attempt to run an instance. What it does not say comes from the image's configuration (OCI
 * image spec, config.md). Throws `invalid_input` when neither says what to run.
 */
export function toContainerSpec({ instance, attempt, image, volumePath }: ContainerSpecInput): ContainerSpec {
  const argv = instance.argv ?? [...image.config.entrypoint, ...image.config.cmd];
  if (argv.length === 0) {
    throw new PlatformError(
      'invalid_input',
      `image ${image.digest} has no command and neither has the service`,
      {
        hint: 'Give the image a CMD or ENTRYPOINT, or the service a command.',
      },
    );
  }
  return {
    id: containerId(instance.id, instance.generation, attempt),
    organizationId: instance.organization.id,
    ownerId: instance.app.id,
    profile: 'instance',
    labels: toLabels(instance, attempt),
    layers: image.layers,
    argv,
    // A command that a build found expects nothing of being process 1; an image's own entrypoint may insist on it.
    init: instance.argv !== null,
    env: environment(instance, image.config.env),
    workingDir: image.config.workingDir || '/',
    user: image.config.user || '0:0',
    hostname: `${instance.service}-${instance.id.slice(-8)}`,
    resources: instance.resources,
    mounts: instance.volumes.map((volume) => ({
      source: volumePath(volume.id),
      target: volume.mountPath,
      ownership: 'owned',
    })),
    network: 'bridge',
    ...(image.config.stopSignal ? { stopSignal: image.config.stopSignal } : {}),
    logMaxBytes: LOG_MAX_BYTES,
  };
}

/** The image's variables, the app's own over them, and the platform's over all. */
function environment(instance: DesiredInstance, imageEnv: readonly string[]): Record<string, string> {
  const fromImage = imageEnv.map((entry): [string, string] => {
    const at = entry.indexOf('=');
    return at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
  });
  return {
    PATH: DEFAULT_PATH,
    ...Object.fromEntries(fromImage),
    ...instance.env,
    PORT: String(instance.port),
    GANTRY_APP: instance.app.slug,
    GANTRY_SERVICE: instance.service,
    GANTRY_INSTANCE: instance.id,
    GANTRY_RELEASE: String(instance.release),
  };
}
