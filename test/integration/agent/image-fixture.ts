import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, readFile, rm, stat } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import path from 'node:path';
import { systemExec } from '#libs/host';
import { createImage, hostArchitecture } from '#libs/oci';
import { testLayer } from '../engine/engine-fixture.ts';

export interface TestImage {
  digest: string;
  /** A registry's side of a pull, for `FakeControlPlane.serveOther`. */
  serve: (url: URL, response: ServerResponse) => boolean;
}

interface Blob {
  type: string;
  bytes?: Buffer;
  file?: string;
  size: number;
}

const TAR = 'application/vnd.oci.image.layer.v1.tar';

/** An image of the host's own shell and Node, so that nothing is downloaded; user 1000, as the platform's images are. */
export async function makeTestImage(folder: string): Promise<TestImage> {
  const base = await testLayer();
  const tree = path.join(folder, 'tree');
  await mkdir(path.join(tree, 'bin'), { recursive: true });
  await copyFile(process.execPath, path.join(tree, 'bin', 'node'));
  const tar = path.join(folder, 'node.tar');
  await systemExec.run('tar', ['--numeric-owner', '--owner=0', '--group=0', '-cf', tar, '-C', tree, '.']);
  await rm(tree, { recursive: true });
  const nodeDiffId = `sha256:${createHash('sha256')
    .update(await readFile(tar))
    .digest('hex')}`;
  const blobs = new Map<string, Blob>();
  const layers = [];
  for (const [diffId, file] of [
    [base.diffId, base.tar],
    [nodeDiffId, tar],
  ] as const) {
    const size = (await stat(file)).size;
    blobs.set(diffId, { type: TAR, file, size });
    layers.push({ digest: diffId, diffId, sizeBytes: size, mediaType: TAR });
  }
  const config = { User: '1000:1000', WorkingDir: '/', Env: ['PATH=/bin'], Cmd: ['/bin/sh'] };
  const image = createImage({ layers, architecture: hostArchitecture(), config, created: 0 });
  for (const { bytes, digest, mediaType } of [image.manifest, image.config]) {
    blobs.set(digest, { type: mediaType, bytes, size: bytes.length });
  }
  return { digest: image.manifest.digest, serve: (url, response) => serveBlob(blobs, url, response) };
}

function serveBlob(blobs: ReadonlyMap<string, Blob>, url: URL, response: ServerResponse): boolean {
  if (!url.pathname.startsWith('/v2/')) return false;
  const digest = /\/(?:manifests|blobs)\/(sha256:[0-9a-f]{64})$/.exec(url.pathname)?.[1] ?? '';
  const blob = blobs.get(digest);
  if (!blob) {
    response.writeHead(url.pathname === '/v2/' ? 200 : 404, { 'content-type': 'application/json' });
    response.end('{}');
    return true;
  }
  response.writeHead(200, {
    'content-type': blob.type,
    'content-length': blob.size,
    'docker-content-digest': digest,
  });
  if (blob.file) createReadStream(blob.file).pipe(response);
  else response.end(blob.bytes);
  return true;
}
