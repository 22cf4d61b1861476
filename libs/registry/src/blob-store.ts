import type { Readable } from 'node:stream';

export interface BlobInfo {
  digest: string;
  sizeBytes: number;
  /** Milliseconds since the epoch at which the blob was stored last. */
  storedAtMs: number;
}

/** A part of a blob: first and last byte, both included, both within the blob. */
export interface BlobRange {
  first: number;
  last: number;
}

/**
 * Content by digest. A blob is there whole or not at all, also after a crash, and its bytes never change.
 * Every implementation runs `blobStoreContract` (test/integration/registry).
 */
export interface BlobStore {
  /**
   * Stores the stream under `digest`, durably. Throws `invalid_input` when the bytes have another digest, and the
   * stream's own error when it fails; nothing is kept then. Storing what is there already is a no-op.
   */
  put(digest: string, content: Readable): Promise<BlobInfo>;
  /** As `put`, for a local file whose digest the caller has verified. The file is the store's from then on. */
  putFile(digest: string, file: string): Promise<BlobInfo>;
  /** Size and time of a blob, or undefined when it is not there. */
  has(digest: string): Promise<BlobInfo | undefined>;
  /** Opens a blob or a part of it. Throws `not_found`. */
  get(digest: string, range?: BlobRange): Promise<Readable>;
  /** Removes a blob; false when it was not there. */
  delete(digest: string): Promise<boolean>;
  /** All blobs, in no particular order. */
  list(): AsyncIterable<BlobInfo>;
}
