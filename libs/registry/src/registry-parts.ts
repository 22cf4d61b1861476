import type { Authorize } from './authorize.ts';
import type { BlobStore } from './blob-store.ts';
import type { RegistryLimits } from './limits.ts';
import type { RepositoryIndex } from './repository-index.ts';
import type { Uploads } from './uploads.ts';

/** What the endpoints work with. */
export interface RegistryParts {
  store: BlobStore;
  index: RepositoryIndex;
  uploads: Uploads;
  limits: RegistryLimits;
  authorize: Authorize;
}
