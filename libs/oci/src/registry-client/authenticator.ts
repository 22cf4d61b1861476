import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import type { Clock } from '#libs/host';

/** Credentials for a registry: a user name and password, or a bearer token that is sent as it is. */
export type RegistryAuth = { username: string; password: string } | { token: string };

export interface AuthenticatorOptions {
  registry: string;
  auth: RegistryAuth | undefined;
  /** Lets a token service be asked over plain http. */
  insecure: boolean;
  clock: Clock;
  /** Fetches a token: one GET without redirects; resolves to status and body. */
  fetchToken: (url: URL, authorization: string | undefined) => Promise<{ status: number; body: string }>;
}

/** Kept this much shorter than the service says, so that no token ends on the way. */
const EXPIRY_MARGIN_MS = 10_000;
/** What the token specification says when the service does not. */
const DEFAULT_EXPIRY_SECONDS = 60;
const MAX_EXPIRY_SECONDS = 3_600;
const MAX_TOKENS = 256;

const tokenSchema = z
  .object({
    token: z.string().optional(),
    access_token: z.string().optional(),
    expires_in: z.number().positive().optional(),
  })
  .transform(({ token, access_token, expires_in }) => ({
    token: token ?? access_token ?? '',
    expiresInSeconds: Math.min(expires_in ?? DEFAULT_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS),
  }))
  .refine(({ token }) => /^[\x21-\x7e]+$/.test(token), 'no token');

/**
 * Finds the Authorization header for one registry: Basic, a given Bearer token, or the token dance of the distribution
 * project (auth/token.md) with credentials or anonymously. Tokens are kept for a scope until they end.
 */
export class Authenticator {
  readonly #tokens = new Map<string, { token: string; endsAtMs: number }>();
  #usesBasic = false;

  constructor(private readonly options: AuthenticatorOptions) {}

  /** The header for requests of `scope`, as far as known; undefined asks without. */
  header(scope: string): string | undefined {
    const { auth, clock } = this.options;
    if (auth && 'token' in auth) return `Bearer ${auth.token}`;
    if (this.#usesBasic) return this.#basic();
    const known = this.#tokens.get(scope);
    return known && known.endsAtMs > clock.now() ? `Bearer ${known.token}` : undefined;
  }

  /**
   * Answers a 401. True when `header(scope)` is now worth another try. Throws `unauthenticated` when the token service
   * refuses the credentials, `unavailable` when it cannot be asked.
   */
  async answer(challenges: readonly string[], scope: string, sent: string | undefined): Promise<boolean> {
    const { auth } = this.options;
    if (auth && 'token' in auth) return false;
    const bearer = challenges.map(parseBearer).find((challenge) => challenge !== undefined);
    if (bearer) {
      if (sent !== undefined && sent !== this.header(scope)) return true; // another request has a newer token
      await this.#dance(bearer, scope);
      return true;
    }
    const asksBasic = challenges.some((challenge) => /^basic\b/i.test(challenge));
    if (!asksBasic || !auth || sent !== undefined) return false;
    this.#usesBasic = true;
    return true;
  }

  #basic(): string | undefined {
    const { auth } = this.options;
    if (!auth || 'token' in auth) return undefined;
    return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
  }

  async #dance(challenge: BearerChallenge, scope: string): Promise<void> {
    const { registry, insecure, clock } = this.options;
    const realm = URL.canParse(challenge.realm) ? new URL(challenge.realm) : undefined;
    if (!realm || !(realm.protocol === 'https:' || (insecure && realm.protocol === 'http:'))) {
      throw new PlatformError(
        'unavailable',
        `registry ${registry} names a token service that cannot be used safely`,
        {
          details: { realm: challenge.realm.slice(0, 200) },
        },
      );
    }
    if (challenge.service) realm.searchParams.set('service', challenge.service);
    realm.searchParams.set('scope', challenge.scope ?? scope);
    const { status, body } = await this.options.fetchToken(realm, this.#basic());
    if (status === 401 || status === 403) {
      throw new PlatformError(
        'unauthenticated',
        `registry ${registry} refuses the credentials for ${scope}`,
        {
          hint: 'Check the user name and the password or token for this registry.',
        },
      );
    }
    const parsed = status === 200 ? tokenSchema.safeParse(parseJson(body)) : undefined;
    if (!parsed?.success) {
      throw new PlatformError(
        'unavailable',
        `the token service of registry ${registry} answered ${status} without a token`,
      );
    }
    if (this.#tokens.size >= MAX_TOKENS) this.#tokens.clear();
    const endsAtMs = clock.now() + Math.max(parsed.data.expiresInSeconds * 1000 - EXPIRY_MARGIN_MS, 1000);
    this.#tokens.set(scope, { token: parsed.data.token, endsAtMs });
  }
}

interface BearerChallenge {
  realm: string;
  service?: string;
  scope?: string;
}

/** Parses `Bearer realm="…",service="…",scope="…"` (RFC 9110, 11.6.1); undefined for another scheme. */
function parseBearer(challenge: string): BearerChallenge | undefined {
  const parameters = /^bearer\s+(.*)$/is.exec(challenge.slice(0, 4096))?.[1];
  if (parameters === undefined) return undefined;
  const values = new Map<string, string>();
  for (const [, key = '', quoted, plain] of parameters.matchAll(/([a-z_]+)=(?:"([^"]*)"|([^\s,"]+))/gi)) {
    values.set(key.toLowerCase(), quoted ?? plain ?? '');
  }
  const realm = values.get('realm');
  return realm === undefined
    ? undefined
    : { realm, service: values.get('service'), scope: values.get('scope') };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
