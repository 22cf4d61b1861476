import { Inject, Injectable } from '@nestjs/common';
import { PlatformError } from '#libs/errors';
import { parseReference, type Reference, RegistryClient, type RegistryReach } from '#libs/oci';
import type { UserActor } from '../auth/actor.ts';
import { apiUrl, type ControlPlaneConfig } from '../config.ts';
import { PrismaService } from '../database/prisma.service.ts';
import { CONFIG } from '../tokens.ts';

const RESOLVE_TIMEOUT_MS = 60_000;

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

  /**
   * Throws `invalid_input` for a malformed reference, `not_found` for no such image, `unavailable` or `timeout` for its
   * registry, `forbidden` for one that the caller may not have asked.
   */
  async resolve(text: string, actor: UserActor): Promise<ResolvedRelease> {
    const reference = parseReference(text);
    const own = this.#isOurs(reference.registry);
    if (own) await this.#assertOwned(reference.repository, actor.organization.id);
    const registry = own ? new URL(this.#loopbackUrl()).host : reference.registry;
    const client = own
      ? new RegistryClient({ registry, insecure: true, auth: { token: this.config.nodeToken } })
      : new RegistryClient({ registry, insecure: isLoopback(registry), reach: reachOf(registry, actor) });
    const { digest } = await this.#ask(client, reference);
    return own
      ? { repository: reference.repository, source: 'platform', digest }
      : { repository: `${reference.registry}/${reference.repository}`, source: 'external', digest };
  }

  async #ask(client: RegistryClient, reference: Reference): Promise<{ digest: string }> {
    const timeout = AbortSignal.timeout(RESOLVE_TIMEOUT_MS);
    try {
      return await client.resolve(reference, timeout);
    } catch (error) {
      if (!timeout.aborted) throw error;
      const message = `registry ${reference.registry} did not answer within ${RESOLVE_TIMEOUT_MS / 1000} s`;
      throw new PlatformError('timeout', message, { cause: error });
    } finally {
      await client.close();
    }
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

/** The registries of the machine itself are its operators'. Nobody else's request is sent to addresses on it. */
function reachOf(registry: string, actor: UserActor): RegistryReach {
  return isLoopback(registry) && actor.user.operator ? 'anywhere' : 'outside';
}

/** Registries on this machine speak plain http, as Docker assumes too. */
function isLoopback(registry: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+)(:\d+)?$/.test(registry);
}
