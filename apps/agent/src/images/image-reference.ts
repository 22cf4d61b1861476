import type { DesiredInstance } from '#libs/contract';
import type { PullOptions } from '#libs/engine';
import { formatReference, parseReference } from '#libs/oci';

/**
 * Where and how an instance's image is pulled: from the platform's registry with the node's token, or anonymously
 * from the registry that the reference names. Always by digest; a tag that came with it says nothing more.
 */
export function toPullOptions(
  image: DesiredInstance['image'],
  controlPlane: { url: string; token: string },
): Pick<PullOptions, 'reference' | 'auth' | 'insecure' | 'reach'> {
  if (image.source === 'external') {
    const { registry, repository } = parseReference(image.repository);
    // The control plane lets only operators name a registry on loopback.
    const reach = /^(localhost|127\.[\d.]+)(:\d+)?$/.test(registry) ? 'anywhere' : 'outside';
    return { reference: formatReference({ registry, repository, digest: image.digest }), reach };
  }
  const { host, protocol } = new URL(controlPlane.url);
  return {
    reference: `${host}/${image.repository}@${image.digest}`,
    auth: { token: controlPlane.token },
    insecure: protocol === 'http:',
  };
}
