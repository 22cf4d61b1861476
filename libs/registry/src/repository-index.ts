import { access, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { isSystemError } from '#libs/errors';
import { readFileIfExists, syncFolder, writeFileDurably } from '#libs/host';
import { type Descriptor, descriptorSchema, digestHex, isDigest, isTag } from '#libs/oci';

const manifestLinkSchema = z.object({
  mediaType: z.string(),
  size: z.number().int().nonnegative(),
  subject: z.string().optional(),
});
export type ManifestLink = z.infer<typeof manifestLinkSchema>;

/** The descriptor of a manifest that has a subject. */
export type Referrer = Descriptor;

/**
 * What belongs to which repository, as small files below `<folder>/repositories/<repository>`:
 * `_blobs/<hex>` (empty), `_manifests/<hex>` (its type), `_tags/<tag>` (a digest), `_referrers/<subject>/<hex>` (a
 * descriptor). A component of a repository never begins with an underscore, so names cannot meet. Each file is written
 * whole (tmp → fsync → rename); a link is made only after what it points to is stored.
 */
export class RepositoryIndex {
  constructor(private readonly folder: string) {}

  async exists(repository: string): Promise<boolean> {
    return fileExists(this.#path(repository));
  }

  async linkBlob(repository: string, digest: string): Promise<void> {
    const file = this.#path(repository, '_blobs', digestHex(digest));
    if (!(await fileExists(file))) await writeFileDurably(file, '');
  }

  async hasBlob(repository: string, digest: string): Promise<boolean> {
    return fileExists(this.#path(repository, '_blobs', digestHex(digest)));
  }

  async unlinkBlob(repository: string, digest: string): Promise<boolean> {
    return removeFile(this.#path(repository, '_blobs', digestHex(digest)));
  }

  async putManifest(
    repository: string,
    digest: string,
    link: ManifestLink,
    referrer?: Referrer,
  ): Promise<void> {
    if (link.subject !== undefined && referrer) {
      const file = this.#path(repository, '_referrers', digestHex(link.subject), digestHex(digest));
      await writeFileDurably(file, JSON.stringify(referrer));
    }
    await writeFileDurably(this.#path(repository, '_manifests', digestHex(digest)), JSON.stringify(link));
  }

  async manifest(repository: string, digest: string): Promise<ManifestLink | undefined> {
    const text = await readFileIfExists(this.#path(repository, '_manifests', digestHex(digest)));
    return text === undefined ? undefined : manifestLinkSchema.parse(JSON.parse(text));
  }

  /** Removes a manifest and every tag that points to it. */
  async deleteManifest(repository: string, digest: string): Promise<boolean> {
    const link = await this.manifest(repository, digest);
    if (!link) return false;
    for (const tag of await this.tags(repository)) {
      if ((await this.resolveTag(repository, tag)) === digest) await this.deleteTag(repository, tag);
    }
    if (link.subject !== undefined) {
      await removeFile(this.#path(repository, '_referrers', digestHex(link.subject), digestHex(digest)));
    }
    return removeFile(this.#path(repository, '_manifests', digestHex(digest)));
  }

  async setTag(repository: string, tag: string, digest: string): Promise<void> {
    await writeFileDurably(this.#path(repository, '_tags', tag), digest);
  }

  async resolveTag(repository: string, tag: string): Promise<string | undefined> {
    const text = await readFileIfExists(this.#path(repository, '_tags', tag));
    return text !== undefined && isDigest(text) ? text : undefined;
  }

  async deleteTag(repository: string, tag: string): Promise<boolean> {
    return removeFile(this.#path(repository, '_tags', tag));
  }

  /** All tags in byte order. */
  async tags(repository: string): Promise<string[]> {
    const names = await namesIn(this.#path(repository, '_tags'));
    return names.filter(isTag).sort();
  }

  /** Descriptors of the manifests whose subject is `digest`, in the order of their digests. */
  async referrers(repository: string, digest: string): Promise<Referrer[]> {
    const folder = this.#path(repository, '_referrers', digestHex(digest));
    const found: Referrer[] = [];
    for (const name of (await namesIn(folder)).filter((hex) => isDigest(`sha256:${hex}`)).sort()) {
      const text = await readFileIfExists(path.join(folder, name));
      if (text !== undefined) found.push(descriptorSchema.parse(JSON.parse(text)));
    }
    return found;
  }

  /** Callers have checked the repository's and the tag's grammar: neither can hold a dot-dot or an empty part. */
  #path(repository: string, ...rest: string[]): string {
    return path.join(this.folder, 'repositories', ...repository.split('/'), ...rest);
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return [];
    throw error;
  }
}

async function fileExists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

async function removeFile(file: string): Promise<boolean> {
  try {
    await rm(file);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false;
    throw error;
  }
  await syncFolder(path.dirname(file));
  return true;
}
