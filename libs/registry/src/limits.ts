/** What one registry takes from its clients; each has a stated answer. */
export interface RegistryLimits {
  /** Manifests above this: 413 MANIFEST_INVALID. */
  maxManifestBytes: number;
  /** Blobs above this: 413 SIZE_INVALID, and the upload is dropped. */
  maxBlobBytes: number;
  /** Open uploads of one repository above this: 429 TOOMANYREQUESTS. */
  maxUploadsPerRepository: number;
  /** Uploads that got no byte for this long are removed. */
  uploadExpiryMs: number;
  /** An upload request that brings no byte for this long is cut; the upload itself stays and can be resumed. */
  idleTimeoutMs: number;
  /** Tags in one page of a list, also when the client asks for more. */
  maxTagsPerPage: number;
}

export const DEFAULT_REGISTRY_LIMITS: RegistryLimits = {
  maxManifestBytes: 4 << 20,
  maxBlobBytes: 10 * 2 ** 30,
  maxUploadsPerRepository: 32,
  uploadExpiryMs: 24 * 3_600_000,
  idleTimeoutMs: 60_000,
  maxTagsPerPage: 1_000,
};
