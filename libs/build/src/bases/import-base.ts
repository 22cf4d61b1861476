import { createReadStream } from 'node:fs';
import path from 'node:path';
import { createGunzip } from 'node:zlib';
import type { Engine } from '#libs/engine';
import type { BaseImage } from './base-image.ts';

/** Puts a base image's layers, and those that it provides, into the engine's store; does nothing when they are there. */
export async function importBase(engine: Engine, base: BaseImage): Promise<void> {
  for (const layer of [...base.layers, ...base.provided.map((provided) => provided.layer)]) {
    if (await engine.hasLayer(layer.diffId)) continue;
    const file = createReadStream(path.join(base.folder, layer.file));
    if (!layer.gzip) {
      await engine.importLayer(layer.diffId, file, { share: true });
      continue;
    }
    const gunzip = createGunzip();
    file.on('error', (error) => gunzip.destroy(error));
    await engine.importLayer(layer.diffId, file.pipe(gunzip), { share: true });
  }
}
