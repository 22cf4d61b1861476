import { Readable } from 'node:stream';
import { PlatformError } from '#libs/errors';
import {
  type Descriptor,
  digestOf,
  isDigest,
  isTag,
  MEDIA_TYPES,
  type ParsedManifest,
  parseManifest,
} from '#libs/oci';
import { type Exchange, readBody, send } from './exchange.ts';
import { RegistryError } from './registry-error.ts';
import type { RegistryParts } from './registry-parts.ts';
import type { Referrer } from './repository-index.ts';

interface ManifestRoute {
  repository: string;
  reference: string;
}

/** Manifests, tags and referrers (distribution spec, end-3, 7, 8, 9, 12). */
export class ManifestEndpoints {
  constructor(private readonly parts: RegistryParts) {}

  async get({ request, response }: Exchange, { repository, reference }: ManifestRoute): Promise<void> {
    const { index, store } = this.parts;
    const digest = isDigest(reference) ? reference : await this.#resolveTag(repository, reference);
    const link = digest === undefined ? undefined : await index.manifest(repository, digest);
    if (digest === undefined || !link) throw await this.#unknown(repository, reference);
    const headers = { 'content-type': link.mediaType, 'docker-content-digest': digest, etag: `"${digest}"` };
    if (request.method === 'HEAD') {
      response.writeHead(200, { ...headers, 'content-length': link.size });
      response.end();
      return;
    }
    const bytes = Buffer.concat(await (await store.get(digest)).toArray());
    response.writeHead(200, { ...headers, 'content-length': bytes.length });
    response.end(bytes);
  }

  async put(exchange: Exchange, { repository, reference }: ManifestRoute): Promise<void> {
    const { index, store, limits } = this.parts;
    if (!isDigest(reference) && !isTag(reference))
      throw new RegistryError('TAG_INVALID', 'the tag is not valid');
    const tooLarge = new RegistryError(
      'MANIFEST_INVALID',
      `a manifest may have at most ${limits.maxManifestBytes} bytes`,
      {
        status: 413,
      },
    );
    const bytes = await readBody(exchange, limits.maxManifestBytes, tooLarge);
    const digest = digestOf(bytes);
    if (isDigest(reference) && reference !== digest) {
      throw new RegistryError('DIGEST_INVALID', `the manifest has the digest ${digest}`);
    }
    const parsed = parse(bytes, exchange.request.headers['content-type']);
    await this.#checkReferences(repository, parsed);
    await store.put(digest, Readable.from([bytes], { objectMode: false }));
    const { subject, referrer } = referrerOf(parsed, digest, bytes.length);
    const link = { mediaType: parsed.mediaType, size: bytes.length, subject };
    await index.putManifest(repository, digest, link, referrer);
    if (!isDigest(reference)) await index.setTag(repository, reference, digest);
    send(exchange.response, 201, {
      location: `/v2/${repository}/manifests/${digest}`,
      'docker-content-digest': digest,
      ...(subject === undefined ? {} : { 'oci-subject': subject }),
    });
  }

  /** By tag removes the tag, by digest the manifest and all its tags. */
  async delete({ response }: Exchange, { repository, reference }: ManifestRoute): Promise<void> {
    const { index } = this.parts;
    const isRemoved = isDigest(reference)
      ? await index.deleteManifest(repository, reference)
      : isTag(reference) && (await index.deleteTag(repository, reference));
    if (!isRemoved) throw await this.#unknown(repository, reference);
    send(response, 202, {});
  }

  async tags({ response, query }: Exchange, { repository }: { repository: string }): Promise<void> {
    const { index, limits } = this.parts;
    if (!(await index.exists(repository))) throw nameUnknown(repository);
    const asked = query.get('n');
    if (asked !== null && !/^\d{1,9}$/.test(asked)) {
      throw new RegistryError('PAGINATION_NUMBER_INVALID', 'n is not a number');
    }
    const count = Math.min(asked === null ? limits.maxTagsPerPage : Number(asked), limits.maxTagsPerPage);
    const last = query.get('last') ?? '';
    const rest = (await index.tags(repository)).filter((tag) => tag > last);
    const page = rest.slice(0, count);
    const next = page.at(-1);
    const hasMore = next !== undefined && rest.length > page.length;
    const link = `</v2/${repository}/tags/list?n=${count}&last=${encodeURIComponent(next ?? '')}>; rel="next"`;
    const headers = { 'content-type': 'application/json', ...(hasMore ? { link } : {}) };
    send(response, 200, headers, JSON.stringify({ name: repository, tags: page }));
  }

  /** The manifests that name this one as their subject; an empty index when there are none. */
  async referrers(
    { response, query }: Exchange,
    { repository, digest }: { repository: string; digest: string },
  ): Promise<void> {
    if (!isDigest(digest))
      throw new RegistryError('DIGEST_INVALID', 'a digest is sha256: and 64 hexadecimal digits');
    const artifactType = query.get('artifactType');
    const all = await this.parts.index.referrers(repository, digest);
    const manifests = artifactType === null ? all : all.filter((one) => one.artifactType === artifactType);
    const headers = {
      'content-type': MEDIA_TYPES.ociIndex,
      ...(artifactType === null ? {} : { 'oci-filters-applied': 'artifactType' }),
    };
    send(
      response,
      200,
      headers,
      JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }),
    );
  }

  /** What a manifest names must be in the same repository, so that whoever may pull it can pull all of it. */
  async #checkReferences(repository: string, parsed: ParsedManifest): Promise<void> {
    const { index } = this.parts;
    if (parsed.kind === 'index') {
      for (const { digest } of parsed.index.manifests) {
        if (!(await index.manifest(repository, digest))) throw blobMissing('manifest', digest);
      }
      return;
    }
    const { config, layers } = parsed.manifest;
    for (const blob of [config, ...layers]) {
      if (!isForeign(blob) && !(await index.hasBlob(repository, blob.digest)))
        throw blobMissing('blob', blob.digest);
    }
  }

  async #resolveTag(repository: string, tag: string): Promise<string | undefined> {
    return isTag(tag) ? this.parts.index.resolveTag(repository, tag) : undefined;
  }

  async #unknown(repository: string, reference: string): Promise<RegistryError> {
    if (!(await this.parts.index.exists(repository))) return nameUnknown(repository);
    return new RegistryError(
      'MANIFEST_UNKNOWN',
      `repository ${repository} has no manifest ${reference.slice(0, 200)}`,
    );
  }
}

function parse(bytes: Buffer, contentType: string | undefined): ParsedManifest {
  const mediaType = (contentType?.split(';')[0] ?? '').trim().toLowerCase();
  try {
    return parseManifest(bytes, mediaType);
  } catch (error) {
    if (error instanceof PlatformError)
      throw new RegistryError('MANIFEST_INVALID', error.message, { cause: error });
    throw error;
  }
}

/** How a manifest with a subject is listed (image spec, "Descriptor of a referrer"). */
function referrerOf(
  parsed: ParsedManifest,
  digest: string,
  size: number,
): { subject?: string; referrer?: Referrer } {
  const document = parsed.kind === 'index' ? parsed.index : parsed.manifest;
  if (!document.subject) return {};
  const artifactType =
    document.artifactType ?? (parsed.kind === 'manifest' ? parsed.manifest.config.mediaType : undefined);
  const referrer: Referrer = { mediaType: parsed.mediaType, digest, size };
  if (artifactType !== undefined) referrer.artifactType = artifactType;
  if (document.annotations) referrer.annotations = document.annotations;
  return { subject: document.subject.digest, referrer };
}

/** Layers that are to be fetched from their own address and never pushed. */
function isForeign({ mediaType, urls }: Descriptor): boolean {
  return (urls?.length ?? 0) > 0 && /nondistributable|foreign/.test(mediaType);
}

function blobMissing(what: string, digest: string): RegistryError {
  return new RegistryError(
    'MANIFEST_BLOB_UNKNOWN',
    `the ${what} ${digest} has to be pushed to this repository first`,
  );
}

function nameUnknown(repository: string): RegistryError {
  return new RegistryError('NAME_UNKNOWN', `there is no repository ${repository}`);
}
