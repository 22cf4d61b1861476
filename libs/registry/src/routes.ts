import { isRepository } from '#libs/oci';
import { RegistryError } from './registry-error.ts';

/** What a request below `/v2/` is about. */
export type Route =
  | { kind: 'base' }
  | { kind: 'manifest'; repository: string; reference: string }
  | { kind: 'blob'; repository: string; digest: string }
  | { kind: 'uploads'; repository: string }
  | { kind: 'upload'; repository: string; id: string }
  | { kind: 'tags'; repository: string }
  | { kind: 'referrers'; repository: string; digest: string };

const MAX_URL_LENGTH = 4096;
const PATTERNS = {
  manifest: /^(.+)\/manifests\/([^/]+)$/,
  upload: /^(.+)\/blobs\/uploads\/([^/]+)$/,
  uploads: /^(.+)\/blobs\/uploads\/?$/,
  blob: /^(.+)\/blobs\/([^/]+)$/,
  tags: /^(.+)\/tags\/list$/,
  referrers: /^(.+)\/referrers\/([^/]+)$/,
} as const;

/** Finds the route of a request target; the repository in it is checked. Throws NAME_INVALID and 404s. */
export function parseRoute(target: string): { route: Route; query: URLSearchParams } {
  if (target.length > MAX_URL_LENGTH || !URL.canParse(target, 'http://registry')) {
    throw new RegistryError('NAME_INVALID', 'the address is not valid', { status: 404 });
  }
  const { pathname, searchParams: query } = new URL(target, 'http://registry');
  if (pathname === '/v2' || pathname === '/v2/') return { route: { kind: 'base' }, query };
  const rest = pathname.startsWith('/v2/') ? decode(pathname.slice('/v2/'.length)) : '';
  for (const [kind, pattern] of Object.entries(PATTERNS)) {
    const [, repository, last = ''] = pattern.exec(rest) ?? [];
    if (repository === undefined) continue;
    if (!isRepository(repository))
      throw new RegistryError('NAME_INVALID', 'the name of the repository is not valid');
    return { route: toRoute(kind as keyof typeof PATTERNS, repository, last), query };
  }
  throw new RegistryError('UNSUPPORTED', 'there is nothing at this address', { status: 404 });
}

function toRoute(kind: keyof typeof PATTERNS, repository: string, last: string): Route {
  if (kind === 'manifest') return { kind, repository, reference: last };
  if (kind === 'upload') return { kind, repository, id: last };
  if (kind === 'blob' || kind === 'referrers') return { kind, repository, digest: last };
  return { kind, repository };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RegistryError('NAME_INVALID', 'the address is not valid', { status: 404 });
  }
}
