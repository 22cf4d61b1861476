import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { PlatformError } from '#libs/errors';
import { type Clock, systemClock } from '#libs/host';
import { assertDigest, digestOf, isDigest } from '../digest.ts';
import {
  type ImageConfigFile,
  type ImageManifest,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  type ParsedManifest,
  parseImageConfig,
  parseManifest,
} from '../image-documents.ts';
import { INDEX_MEDIA_TYPES, MANIFEST_MEDIA_TYPES } from '../media-types.ts';
import { type Architecture, choosePlatform } from '../platform.ts';
import { isRepository, isTag, type Reference } from '../reference.ts';
import type { RegistryReach } from './address-guard.ts';
import type { RegistryAuth } from './authenticator.ts';
import { downloadBlob } from './download-blob.ts';
import { readLimited, Transport } from './transport.ts';
import { type PushBlobOptions, type PushBlobResult, uploadBlob } from './upload-blob.ts';

const ACCEPT = [...MANIFEST_MEDIA_TYPES, ...INDEX_MEDIA_TYPES].join(', ');
/** Blobs of unknown size are cut off here. */
const MAX_BLOB_BYTES = 20 * 2 ** 30;

export interface RegistryClientOptions {
  /** Host and port as in a reference, e.g. `docker.io` or `127.0.0.1:5000`. */
  registry: string;
  auth?: RegistryAuth;
  /** Plain http: only for the platform's own registry on loopback or a private network. */
  insecure?: boolean;
  /** Connections; the client makes its own unless given. */
  dispatcher?: Dispatcher;
  /** Where requests may go; `outside` for a registry that a stranger names. Anywhere unless told. */
  reach?: RegistryReach;
  clock?: Clock;
}

/** A repository of the client's registry, with a tag or a digest. */
export type ImageName = Pick<Reference, 'repository' | 'tag' | 'digest'>;

export interface ResolvedManifest {
  digest: string;
  mediaType: string;
  bytes: Buffer;
}

export interface ResolvedImage {
  /** Digest of the manifest of this platform (not of the index that named it). */
  digest: string;
  manifest: ImageManifest;
  /** The bytes as they came: what the digest is of. */
  manifestBytes: Buffer;
  config: ImageConfigFile;
}

export interface GetBlobOptions {
  /** The size that a descriptor told; any other is an error. */
  sizeBytes?: number;
  signal?: AbortSignal;
}

export interface PushManifestOptions {
  repository: string;
  /** A tag, or the digest of `bytes`. */
  reference: string;
  mediaType: string;
  bytes: Uint8Array;
  signal?: AbortSignal;
}

/**
 * A client of one registry (OCI distribution spec 1.1). Reads are tried again after connection errors, 429 and 5xx, with
 * growing pauses. Credentials are never sent to another host than the registry and the token service it names.
 * Errors: `not_found`, `unauthenticated`, `forbidden`, `unavailable`, `limit_exceeded`, `too_large`, `invalid_input`.
 */
export class RegistryClient {
  readonly #transport: Transport;

  constructor(private readonly options: RegistryClientOptions) {
    this.#transport = new Transport({ ...options, clock: options.clock ?? systemClock });
  }

  /** The manifest or index behind a name; its digest is verified when the name or the registry tells one. */
  async resolve(image: ImageName, signal?: AbortSignal): Promise<ResolvedManifest> {
    const { repository } = image;
    const reference = image.digest ?? image.tag ?? 'latest';
    checkName(repository, reference);
    const subject = `image ${repository}${isDigest(reference) ? '@' : ':'}${reference}`;
    const response = await this.#transport.send({
      method: 'GET',
      url: `/v2/${repository}/manifests/${reference}`,
      scope: `repository:${repository}:pull`,
      headers: { accept: ACCEPT },
      accept: [200],
      subject,
      repeatable: true,
      signal,
    });
    const bytes = await readLimited(response, MAX_MANIFEST_BYTES, `the manifest of ${subject}`).catch(
      (error: unknown) => {
        signal?.throwIfAborted();
        throw error instanceof PlatformError ? error : this.#transport.unreachable(subject, error);
      },
    );
    const digest = digestOf(bytes);
    const told = response.headers['docker-content-digest'];
    const expected = image.digest ?? (typeof told === 'string' && isDigest(told) ? told : digest);
    if (digest !== expected) {
      throw new PlatformError(
        'invalid_input',
        `${subject}: registry ${this.options.registry} sent a manifest with the digest ${digest}`,
      );
    }
    const contentType = response.headers['content-type'];
    const mediaType =
      typeof contentType === 'string' ? (contentType.split(';')[0] ?? '').trim().toLowerCase() : '';
    return { digest, mediaType, bytes };
  }

  /** A manifest or index, parsed. */
  async getManifest(
    repository: string,
    tagOrDigest: string,
    signal?: AbortSignal,
  ): Promise<ParsedManifest & { digest: string }> {
    const { digest, mediaType, bytes } = await this.resolve(named(repository, tagOrDigest), signal);
    return { ...parseManifest(bytes, mediaType), digest };
  }

  /** The manifest and configuration of an image for linux on `architecture`, through an index where there is one. */
  async resolveImage(
    image: ImageName,
    architecture: Architecture,
    signal?: AbortSignal,
  ): Promise<ResolvedImage> {
    let resolved = await this.resolve(image, signal);
    let parsed = parseManifest(resolved.bytes, resolved.mediaType);
    if (parsed.kind === 'index') {
      const { digest } = choosePlatform(parsed.index, architecture);
      resolved = await this.resolve({ repository: image.repository, digest }, signal);
      parsed = parseManifest(resolved.bytes, resolved.mediaType);
    }
    const { repository } = image;
    if (parsed.kind === 'index') {
      throw new PlatformError('unsupported', `image ${repository} is an index of indexes`);
    }
    const { digest, size } = parsed.manifest.config;
    if (size > MAX_CONFIG_BYTES) {
      throw new PlatformError(
        'too_large',
        `the configuration of image ${repository} has ${size} bytes; at most ${MAX_CONFIG_BYTES} are allowed`,
      );
    }
    const chunks = await this.getBlob(repository, digest, { sizeBytes: size, signal }).toArray();
    const config = parseImageConfig(Buffer.concat(chunks));
    if (config.rootfs.diff_ids.length !== parsed.manifest.layers.length) {
      throw new PlatformError(
        'invalid_input',
        `image ${repository}: its configuration and its manifest tell different numbers of layers`,
      );
    }
    return { digest: resolved.digest, manifest: parsed.manifest, manifestBytes: resolved.bytes, config };
  }

  /** A blob as a stream that ends well only when size and digest fit; see `downloadBlob`. */
  getBlob(repository: string, digest: string, { sizeBytes, signal }: GetBlobOptions = {}): Readable {
    checkName(repository, assertDigest(digest));
    const download = { repository, digest, sizeBytes, maxBytes: MAX_BLOB_BYTES, signal };
    return Readable.from(downloadBlob(this.#transport, download), {
      objectMode: false,
      highWaterMark: 1 << 20,
    });
  }

  async hasBlob(repository: string, digest: string, signal?: AbortSignal): Promise<boolean> {
    checkName(repository, assertDigest(digest));
    const response = await this.#transport.send({
      method: 'HEAD',
      url: `/v2/${repository}/blobs/${digest}`,
      scope: `repository:${repository}:pull`,
      accept: [200, 404],
      subject: `blob ${digest} of ${repository}`,
      repeatable: true,
      signal,
    });
    await response.body.dump();
    return response.statusCode === 200;
  }

  /** Makes sure that the repository has a blob: looks, tries to mount, uploads. The content is verified by the registry. */
  async pushBlob(options: PushBlobOptions): Promise<PushBlobResult> {
    checkName(options.repository, assertDigest(options.digest));
    return uploadBlob(this.#transport, options);
  }

  /** Stores a manifest under a tag or its digest; its blobs must have been pushed before. */
  async pushManifest({
    repository,
    reference,
    mediaType,
    bytes,
    signal,
  }: PushManifestOptions): Promise<{ digest: string }> {
    checkName(repository, reference);
    const digest = digestOf(bytes);
    if (isDigest(reference) && reference !== digest) {
      throw new PlatformError('invalid_input', `the manifest's digest is ${digest}, not ${reference}`);
    }
    const response = await this.#transport.send({
      method: 'PUT',
      url: `/v2/${repository}/manifests/${reference}`,
      scope: `repository:${repository}:pull,push`,
      headers: { 'content-type': mediaType },
      body: () => bytes,
      accept: [201],
      subject: `push of ${repository}:${reference}`,
      repeatable: true,
      signal,
    });
    await response.body.dump();
    return { digest };
  }

  /** Closes the client's own connections. */
  async close(): Promise<void> {
    await this.#transport.close();
  }
}

function named(repository: string, tagOrDigest: string): ImageName {
  return isDigest(tagOrDigest) ? { repository, digest: tagOrDigest } : { repository, tag: tagOrDigest };
}

/** Nothing from outside becomes part of an address unchecked. */
function checkName(repository: string, reference: string): void {
  if (isRepository(repository) && (isDigest(reference) || isTag(reference))) return;
  throw new PlatformError(
    'invalid_input',
    `${JSON.stringify(`${repository}:${reference}`.slice(0, 200))} is not the name of an image`,
  );
}
