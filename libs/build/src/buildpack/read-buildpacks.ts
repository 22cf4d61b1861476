import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { BuildpackToml, OrderToml, parseToml } from './buildpack-files.ts';

export interface BuildpackFile {
  /** Relative to the buildpacks' folder. */
  path: string;
  content: Buffer;
  executable: boolean;
}

export interface Buildpacks {
  /** Groups in the order in which they are tried. */
  order: OrderToml['order'];
  byId: Map<string, BuildpackToml>;
  /** Everything that the sandbox needs of the folder. */
  files: BuildpackFile[];
  /** Changes with any byte of it. */
  digest: string;
}

/** Reads `order.toml` and every buildpack next to it. The folder is the platform's own, so it is trusted. */
export async function readBuildpacks(folder: string): Promise<Buildpacks> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: BuildpackFile[] = [];
  const hash = createHash('sha256');
  for (const entry of names.filter((entry) => entry.isFile()).sort(byPath)) {
    const file = path.join(entry.parentPath, entry.name);
    const relative = path.relative(folder, file);
    if (relative.endsWith('.md') || relative.endsWith('.test.ts')) continue;
    const content = await readFile(file);
    hash.update(`${relative}\0${content.length}\0`).update(content);
    const executable = relative === 'lifecycle.sh' || /^[^/]+\/bin\//.test(relative);
    files.push({ path: relative, content, executable });
  }
  const text = (name: string) => files.find((file) => file.path === name)?.content.toString('utf8') ?? '';
  const { order } = parseToml(OrderToml, text('order.toml'), 'order.toml');
  const byId = new Map<string, BuildpackToml>();
  for (const id of new Set(order.flatMap(({ group }) => group.map((member) => member.id)))) {
    byId.set(id, parseToml(BuildpackToml, text(`${id}/buildpack.toml`), `${id}/buildpack.toml`));
  }
  return { order, byId, files, digest: hash.digest('hex') };
}

function byPath(a: { parentPath: string; name: string }, b: { parentPath: string; name: string }): number {
  const [left, right] = [path.join(a.parentPath, a.name), path.join(b.parentPath, b.name)];
  return left < right ? -1 : left > right ? 1 : 0;
}
