import { createHash } from 'node:crypto';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isSystemError } from '#libs/errors';
import { digestHex } from '#libs/oci';

const EVERYBODY = 'everybody';

/**
 * Who has shown that they have a layer's content. A layer is unpacked once a node, but its diff id alone is no key to it:
 * an image is only a claim, and whoever names another tenant's diff id must bring the bytes before they get the files.
 * Lost marks cost no more than bringing them again.
 */
export class LayerHolders {
  constructor(private readonly folder: string) {}

  /** Undefined stands for the node itself, which holds everything. */
  async has(diffId: string, holder: string | undefined): Promise<boolean> {
    if (holder === undefined) return true;
    return (
      (await exists(this.#mark(diffId, EVERYBODY))) || (await exists(this.#mark(diffId, nameOf(holder))))
    );
  }

  /** Undefined makes it everybody's. */
  async add(diffId: string, holder: string | undefined): Promise<void> {
    const mark = this.#mark(diffId, holder === undefined ? EVERYBODY : nameOf(holder));
    await mkdir(path.dirname(mark), { recursive: true, mode: 0o700 });
    await writeFile(mark, '');
  }

  /** The layer is gone. */
  async forget(diffId: string): Promise<void> {
    await rm(path.dirname(this.#mark(diffId, EVERYBODY)), { recursive: true, force: true });
  }

  #mark(diffId: string, name: string): string {
    return path.join(this.folder, digestHex(diffId), name);
  }
}

function nameOf(holder: string): string {
  return createHash('sha256').update(holder).digest('hex');
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false;
    throw error;
  }
}
