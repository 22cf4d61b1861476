import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import koffi from 'koffi';
import { type Header, pack } from 'tar-stream';
import { systemExec } from '#libs/host';
import { type AppliedLayer, applyLayer, type LayerLimits, MEDIA_TYPES } from '#libs/oci';

/** A place to unpack layers, with a canary beside it that no layer may ever touch. */
export interface Playground {
  folder: string;
  target: string;
  canary: string;
  remove(): Promise<void>;
}

export async function makePlayground(): Promise<Playground> {
  const folder = await mkdtemp(path.join(tmpdir(), 'gantry-layer-'));
  const target = path.join(folder, 'target');
  const canary = path.join(folder, 'canary');
  await mkdir(target);
  await mkdir(canary);
  await writeFile(path.join(canary, 'file'), 'untouched');
  return { folder, target, canary, remove: () => rm(folder, { recursive: true }) };
}

export type Member = Partial<Header> & { name: string; content?: string | Buffer };

/** A tar by tar-stream: a writer that is not ours, and refuses nothing. */
export async function tarOf(members: readonly Member[]): Promise<Buffer> {
  const archive = pack();
  for (const { content = '', ...header } of members) {
    if (header.type === undefined || header.type === 'file') archive.entry(header, content);
    else archive.entry(header);
  }
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

export async function apply(
  target: string,
  tar: Buffer,
  more: {
    mediaType?: string;
    limits?: Partial<LayerLimits>;
    expectedDiffId?: string;
    signal?: AbortSignal;
  } = {},
): Promise<AppliedLayer> {
  const stream = Readable.from(slices(tar), { objectMode: false });
  return applyLayer({ tar: stream, mediaType: MEDIA_TYPES.ociLayer, target, exec: systemExec, ...more });
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 60_001) yield bytes.subarray(at, at + 60_001);
}

const libc = koffi.load('libc.so.6');
const lgetxattr = libc.func(
  'int64_t lgetxattr(const char *path, const char *name, _Out_ uint8_t *value, size_t size)',
);
const lsetxattr = libc.func(
  'int lsetxattr(const char *path, const char *name, const uint8_t *value, size_t size, int flags)',
);

/** An extended attribute, undefined when the file has none of that name. */
export function getAttribute(file: string, name: string): Buffer | undefined {
  const value = Buffer.alloc(256);
  const size: number = lgetxattr(file, name, value, value.length);
  return size < 0 ? undefined : value.subarray(0, size);
}

export function setAttribute(file: string, name: string, value: Buffer): void {
  if (lsetxattr(file, name, value, value.length, 0) !== 0) throw new Error(`cannot set ${name} on ${file}`);
}
