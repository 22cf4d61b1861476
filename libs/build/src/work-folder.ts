import { chmod, chown, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isSystemError } from '#libs/errors';
import { type Exec } from '#libs/host';
import type { BuildpackFile } from './buildpack/read-buildpacks.ts';

/** User and group of build steps and of apps, inside containers (user `gantry` of the base images). */
export const APP_UID = 1000;

/** The folders of one build on the host, under `<workDir>/<build id>/`; see `createWorkFolder` for who owns what. */
export interface WorkFolder {
  root: string;
  /** `/workspace`: the app. */
  workspace: string;
  /** `/layers`: one folder a buildpack, and `lifecycle` for reports. */
  layers: string;
  /** `/platform`: the app's config as files (CNB platform folder). */
  platform: string;
  /** `/cnb`: buildpacks, source, CA bundle; read-only. */
  cnb: string;
  /** Layer files that are about to be pushed. Not seen by the container. */
  blobs: string;
}

export interface CreateWorkFolderOptions {
  workDir: string;
  buildId: string;
  /** First host id of the app's range: container root is `firstId`, the build user `firstId + 1000`. */
  firstId: number;
  buildpackIds: readonly string[];
  exec: Exec;
}

/** Makes the folders anew. Container root owns `/layers` itself, so a step can only change what is inside its own part. */
export async function createWorkFolder(options: CreateWorkFolderOptions): Promise<WorkFolder> {
  const { workDir, buildId, firstId, exec } = options;
  const root = path.join(workDir, buildId);
  await removeTree(exec, root);
  await mkdir(workDir, { recursive: true, mode: 0o711 });
  await mkdir(root, { mode: 0o711 });
  const folder = (name: string) => path.join(root, name);
  const work: WorkFolder = {
    root,
    workspace: folder('workspace'),
    layers: folder('layers'),
    platform: folder('platform'),
    cnb: folder('cnb'),
    blobs: folder('blobs'),
  };
  await mkdir(work.blobs, { mode: 0o700 });
  const user = firstId + APP_UID;
  await makeFolder(work.layers, firstId, 0o755);
  const owned = [
    work.workspace,
    work.platform,
    work.cnb,
    ...['lifecycle', ...options.buildpackIds].map((id) => path.join(work.layers, id)),
  ];
  await Promise.all(owned.map((name) => makeFolder(name, user, 0o755)));
  return work;
}

/** A folder with an owner and a mode that the umask does not change. */
export async function makeFolder(folder: string, owner: number, mode: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  await chmod(folder, mode);
  await chown(folder, owner, owner);
}

/** Writes the buildpacks, the CA bundle and the app's config where the sandbox finds them. */
export async function fillWorkFolder(
  work: WorkFolder,
  options: {
    firstId: number;
    files: readonly BuildpackFile[];
    caBundle: Buffer | undefined;
    env: Readonly<Record<string, string>>;
  },
): Promise<void> {
  const user = options.firstId + APP_UID;
  const put = async (file: string, content: Buffer | string, mode: number) => {
    await writeFile(file, content, { flag: 'wx' });
    await chmod(file, mode);
    await chown(file, user, user);
  };
  const folders = new Set([
    'input',
    ...options.files.map((file) => path.join('buildpacks', path.dirname(file.path))),
  ]);
  for (const name of [...folders].sort()) await makeFolder(path.join(work.cnb, name), user, 0o755);
  const envFolder = path.join(work.platform, 'env');
  await makeFolder(envFolder, user, 0o700);
  await Promise.all([
    ...options.files.map((file) =>
      put(path.join(work.cnb, 'buildpacks', file.path), file.content, file.executable ? 0o755 : 0o644),
    ),
    ...Object.entries(options.env).map(([name, value]) => put(path.join(envFolder, name), value, 0o400)),
    ...(options.caBundle ? [put(path.join(work.cnb, 'ca-certificates.crt'), options.caBundle, 0o644)] : []),
  ]);
}

/** Removes a folder that strangers may have filled; links are removed, not followed, however deep the folders go. */
export async function removeTree(exec: Exec, folder: string): Promise<void> {
  await exec.run('rm', ['-rf', '--one-file-system', '--', folder]);
}

/**
 * Removes what builds of an earlier process left. Call at start, when no build runs; their containers are removed by
 * the next build of the same id, or by whoever lists the engine's containers.
 */
export async function cleanBuildLeftovers(workDir: string, exec: Exec): Promise<void> {
  let names: string[];
  try {
    names = await readdir(workDir);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return;
    throw error;
  }
  for (const name of names) await removeTree(exec, path.join(workDir, name));
}
