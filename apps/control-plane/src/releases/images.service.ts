import { Inject, Injectable } from '@nestjs/common';
import { PlatformError } from '#libs/errors';
import { parseReference, RegistryClient } from '#libs/oci';
import { apiUrl, type ControlPlaneConfig } from '../config.ts';
import { PrismaService } from '../database/prisma.service.ts';
import { CONFIG } from '../tokens.ts';

export interface ResolvedRelease {
  /** Repository in the platform's registry, or `registry/repository` elsewhere. */
  repository: string;
  source: 'platform' | 'external';
  digest: string;
}

/** Pins an image reference to a digest, so that a release stays what it is when a tag moves. */
@Injectable()
export class ImagesService {
  constructor(
    private readonly prisma: PrismaService,
    @Inject(CONFIG) private readonly config: ControlPlaneConfig,
  ) {}

  /** Throws `invalid_input` for a malformed reference, `not_found` for no such image, `unavailable` for its registry. */
  async resolve(text: string, organizationId: string): Promise<ResolvedRelease> {
    const reference = parseReference(text);
    const own = this.#isOurs(reference.registry);
    if (own) await this.#assertOwned(reference.repository, organizationId);
    const registry = own ? new URL(this.#loopbackUrl()).host : reference.registry;
    const client = own
      ? new RegistryClient({ registry, insecure: true, auth: { token: this.config.nodeToken } })
      : new RegistryClient({ registry, insecure: isLoopback(registry) });
    const { digest } = await client.resolve(reference);
    return own
      ? { repository: reference.repository, source: 'platform', digest }
      : { repository: `${reference.registry}/${reference.repository}`, source: 'external', digest };
  }

  #isOurs(registry: string): boolean {
    const port = this.config.apiPort;
    return [new URL(apiUrl(this.config)).host, `127.0.0.1:${port}`, `localhost:${port}`].includes(registry);
  }

  #loopbackUrl(): string {
    const host = this.config.apiHost === '0.0.0.0' ? '127.0.0.1' : this.config.apiHost;
    return `http://${host}:${this.config.apiPort}`;
  }

  async #assertOwned(repository: string, organizationId: string): Promise<void> {
    const appId = repository.split('/')[0] ?? '';
    const app = await this.prisma.app.findFirst({ where: { id: appId, organizationId } });
    if (!app)
      throw new PlatformError('not_found', `there is no image ${repository} in the platform's registry`);
  }
}

/** Registries on this machine speak plain http, as Docker assumes too. */
function isLoopback(registry: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+)(:\d+)?$/.test(registry);
}
