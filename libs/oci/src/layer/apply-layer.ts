import { createHash } from 'node:crypto';
import { PassThrough, pipeline, type Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { isSystemError, PlatformError } from '#libs/errors';
import { DiskReserve, type Exec } from '#libs/host';
import { layerCompression } from '../media-types.ts';
import { type ConfinedExtraction, TarExtraction } from './extract-confined.ts';
import { impliedFolder, LayerFilter } from './layer-filter.ts';
import { DEFAULT_LAYER_LIMITS, type LayerLimits } from './limits.ts';
import { TarRewriter } from './rewrite-tar.ts';
import { encodeEntry, endOfArchive } from './tar-encode.ts';
import type { TarEntry } from './tar-entry.ts';

const CHUNK_BYTES = 256 << 10;
const ENTRIES_PER_WRITE = 128;
const ENCODING = { namesAreBytes: true };

export interface ApplyLayerOptions {
  /** The layer's bytes as `mediaType` says: plain, gzip or zstd. Destroyed when the work ends early. */
  tar: Readable;
  mediaType: string;
  /** A fresh, empty folder. After a failure it holds a part of the layer and is the caller's to remove. */
  target: string;
  exec: Exec;
  /** When given, another diff id is answered with `invalid_input`. */
  expectedDiffId?: string;
  limits?: Partial<LayerLimits>;
  signal?: AbortSignal;
}

export interface AppliedLayer {
  /** Digest of the uncompressed tar. */
  diffId: string;
  /** Bytes of the uncompressed tar. */
  sizeBytes: number;
}

/**
 * Unpacks one layer into its own folder, as the lower folder of an overlay, independent of the layers below it:
 * owners, modes, times, hard links, capabilities and `user.` attributes are kept; whiteouts become overlayfs's (a
 * character device 0:0, `trusted.overlay.opaque`). Needs root.
 *
 * The layer is taken for hostile: it is decompressed and rewritten here, and unpacked by a child that is locked into
 * the folder. Errors: `invalid_input` (not a tar, cut, names that lead outside, diff id), `unsupported` (media type,
 * entry type), `too_large` (limits), `unavailable` (disk almost full, tools), and what the stream or the signal fails with.
 */
export async function applyLayer(options: ApplyLayerOptions): Promise<AppliedLayer> {
  const { tar, target, exec, signal } = options;
  signal?.throwIfAborted();
  const limits = { ...DEFAULT_LAYER_LIMITS, ...options.limits };
  const source = decompress(tar, options.mediaType);
  const extraction = new TarExtraction({ exec, target, purpose: 'files' });
  const stop = () => source.destroy(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const filter = new LayerFilter(limits);
    const rewriter = new TarRewriter(filter, ENCODING);
    const applied = await unpack({ source, extraction, rewriter, limits, reserve: new DiskReserve(target) });
    if (options.expectedDiffId !== undefined) assertDiffId(applied.diffId, options.expectedDiffId);
    await addWhiteouts(filter, { exec, target });
    return applied;
  } catch (error) {
    await extraction.abort();
    throw asPlatformError(error);
  } finally {
    signal?.removeEventListener('abort', stop);
    source.destroy();
    tar.destroy();
  }
}

/**
 * Reads a layer to its end without unpacking it: resolves when its diff id is the expected one. Errors as `applyLayer`.
 */
export async function verifyLayer(
  options: Pick<ApplyLayerOptions, 'tar' | 'mediaType' | 'limits' | 'signal'> & { expectedDiffId: string },
): Promise<void> {
  const { tar, mediaType, expectedDiffId, signal } = options;
  const { maxBytes } = { ...DEFAULT_LAYER_LIMITS, ...options.limits };
  const source = decompress(tar, mediaType);
  const stop = () => source.destroy(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of source as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) throw tooLarge(maxBytes);
      hash.update(chunk);
    }
    assertDiffId(`sha256:${hash.digest('hex')}`, expectedDiffId);
  } catch (error) {
    throw asPlatformError(error);
  } finally {
    signal?.removeEventListener('abort', stop);
    source.destroy();
    tar.destroy();
  }
}

function assertDiffId(actual: string, expected: string): void {
  if (actual === expected) return;
  throw new PlatformError(
    'invalid_input',
    `the layer's diff id is ${actual}, but the image says ${expected}`,
  );
}

function tooLarge(maxBytes: number): PlatformError {
  return new PlatformError('too_large', `the layer has more than ${maxBytes} bytes uncompressed`);
}

interface Unpacking {
  source: Readable;
  extraction: TarExtraction;
  rewriter: TarRewriter;
  limits: LayerLimits;
  reserve: DiskReserve;
}

async function unpack({ source, extraction, rewriter, limits, reserve }: Unpacking): Promise<AppliedLayer> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  let takesMore = true;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > limits.maxBytes) throw tooLarge(limits.maxBytes);
    hash.update(chunk);
    await reserve.spend(chunk.length);
    for (const bytes of rewriter.push(chunk)) takesMore = await extraction.write(bytes);
    if (!takesMore) break;
  }
  if (takesMore) {
    rewriter.finish();
    await extraction.write(rewriter.end());
  }
  await extraction.end();
  if (!takesMore) throw new PlatformError('internal', 'bsdtar ended before the layer did');
  return { diffId: `sha256:${hash.digest('hex')}`, sizeBytes };
}

/** Short archives of our own making: the only ones whose child may make device nodes and opaque folders. */
async function addWhiteouts(filter: LayerFilter, where: { exec: Exec; target: string }): Promise<void> {
  const { hidden, opaque } = filter.whiteouts();
  const devices = hidden.map((path) => ({
    ...impliedFolder(path),
    type: 'character-device' as const,
    mode: 0,
  }));
  await extractEntries(opaque, { ...where, purpose: 'opaque-folders' });
  await extractEntries(devices, { ...where, purpose: 'hidden-names' });
}

async function extractEntries(entries: readonly TarEntry[], how: ConfinedExtraction): Promise<void> {
  if (entries.length === 0) return;
  const extraction = new TarExtraction(how);
  try {
    for (let i = 0; i < entries.length; i += ENTRIES_PER_WRITE) {
      const batch = entries.slice(i, i + ENTRIES_PER_WRITE).map((entry) => encodeEntry(entry, ENCODING));
      if (!(await extraction.write(Buffer.concat(batch)))) break;
    }
    await extraction.write(endOfArchive());
    await extraction.end();
  } catch (error) {
    await extraction.abort();
    throw error;
  }
}

function decompress(tar: Readable, mediaType: string): Readable {
  const compression = layerCompression(mediaType);
  if (compression === 'none') return pipeline(tar, new PassThrough(), () => {});
  const options = { chunkSize: CHUNK_BYTES };
  const decompressor = compression === 'gzip' ? createGunzip(options) : createZstdDecompress(options);
  return pipeline(tar, decompressor, () => {}); // an error of either shows when the result is read
}

function asPlatformError(error: unknown): unknown {
  if (error instanceof PlatformError) return error;
  const isDamaged =
    error instanceof Error && 'code' in error && /^(Z_|ZSTD_|ERR_ZLIB)/.test(String(error.code));
  if (isDamaged)
    return new PlatformError('invalid_input', `the layer's compression is damaged: ${error.message}`, {
      cause: error,
    });
  if (isSystemError(error, 'ERR_STREAM_PREMATURE_CLOSE')) {
    return new PlatformError('unavailable', 'the layer ended early', { cause: error });
  }
  return error;
}
