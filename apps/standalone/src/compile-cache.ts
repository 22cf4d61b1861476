import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';

/**
 * A folder where Node keeps the compiled code of the parts (NODE_COMPILE_CACHE), which takes a third off their start.
 * Each build has its own; those of earlier builds are removed, so that it cannot grow.
 */
export async function prepareCompileCache(folder: string, builtFile: string): Promise<string> {
  const build = String(Math.floor((await stat(builtFile)).mtimeMs));
  await mkdir(path.join(folder, build), { recursive: true, mode: 0o700 });
  for (const name of await readdir(folder)) {
    if (name !== build) await rm(path.join(folder, name), { recursive: true, force: true });
  }
  return path.join(folder, build);
}
