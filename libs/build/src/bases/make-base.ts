import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, open, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { isSystemError, PlatformError } from '#libs/errors';
import type { Exec } from '#libs/host';
import { writeFileDurably } from '#libs/host';
import { allOrNone } from '../all-or-none.ts';
import { type BaseImage, BaseImageRecord, type BaseLayer, RECORD_FILE } from './base-image.ts';
import { debianSourceLines } from './debian-sources.ts';
import { makeNodeLayer } from './node-layer.ts';
import { type BaseName, RELEASE, type Recipe } from './recipe.ts';

/** Times in the image: fixed, so that the same packages make the same layer. */
const SOURCE_DATE_EPOCH = '1700000000';
const MAKE_TIMEOUT_MS = 20 * 60_000;
const UNUSED_IN_IMAGES = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/info/*', '/usr/share/locale/*'];
/** The run image is pushed, so it is kept as gzip; the build image only ever goes into the engine next door. */
const GZIP_LEVEL = 6;

const RUN_ENV = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'LANG=C.UTF-8',
  'HOME=/home/gantry',
];

export interface MakeBaseOptions {
  recipe: Recipe;
  name: BaseName;
  /** Empty or missing; the image is whole once its record is in it. */
  folder: string;
  exec: Exec;
  onLine: (line: string) => void;
  signal?: AbortSignal;
}

/** Makes one base image with mmdebstrap. Throws `unavailable` when packages cannot be fetched. */
export async function makeBase(options: MakeBaseOptions): Promise<BaseImage> {
  const { recipe, name, folder } = options;
  const temporary = path.join(folder, 'tmp');
  await mkdir(temporary, { recursive: true });
  const gzip = name === 'run';
  const file = gzip ? 'layer.tar.gz' : 'layer.tar';
  const [layer, provided] = await allOrNone(options.signal, [
    (signal) => writeLayer({ ...options, signal }, path.join(folder, file), gzip, temporary),
    async (signal) => (name === 'build' ? makeNodeLayer({ ...options, temporary, signal }) : undefined),
  ]);
  const record = BaseImageRecord.parse({
    name,
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    layers: [{ ...layer, file, gzip }],
    env: RUN_ENV,
    provided: provided ? [provided] : [],
  });
  await writeFileDurably(path.join(folder, RECORD_FILE), JSON.stringify(record, null, 2), 0o644);
  return { ...record, folder: path.resolve(recipe.folder, folder) };
}

async function writeLayer(
  { recipe, name, exec, onLine, signal }: MakeBaseOptions & { signal: AbortSignal },
  file: string,
  gzip: boolean,
  temporary: string,
): Promise<Omit<BaseLayer, 'file' | 'gzip'>> {
  const args = [
    '--mode=root',
    '--variant=essential',
    '--format=tar',
    '--skip=output/dev',
    `--include=${recipe.packages[name].join(',')}`,
    '--dpkgopt=force-unsafe-io',
    ...UNUSED_IN_IMAGES.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=Acquire::Retries "3"',
    ...(await proxyOptions(exec)),
    `--customize-hook=${path.join(recipe.folder, `finish-${name}.sh`)}`,
    RELEASE,
    '-',
    ...(await hostSources()),
  ];
  const variables = [
    `TMPDIR=${temporary}`,
    `SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}`,
    `GANTRY_NODE_BINARY=${recipe.nodeBinary}`,
    `GANTRY_NPM_FOLDER=${recipe.npmFolder}`,
  ];
  // In namespaces of its own: mmdebstrap mounts /proc and more into the root folder, and must not leave them, nor any
  // process of a package's scripts, when it is killed.
  const isolated = [
    '--mount',
    '--propagation=private',
    '--pid',
    '--fork',
    '--mount-proc',
    '--kill-child=SIGKILL',
  ];
  const child = exec.spawn('unshare', [...isolated, '--', 'env', ...variables, 'mmdebstrap', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.any([signal, AbortSignal.timeout(MAKE_TIMEOUT_MS)]),
    killSignal: 'SIGKILL',
  });
  let spawnError: unknown;
  child.on('error', (error) => {
    spawnError = error;
  });
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
  if (!child.stdout || !child.stderr) throw new PlatformError('internal', 'mmdebstrap has no output to read');
  const said: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    said.push(line);
    if (said.length > 200) said.shift();
    if (line.startsWith('I: ')) onLine(line.slice(3));
  });
  const whole = new Measure();
  const kept = new Measure();
  const compress = gzip ? [createGzip({ level: GZIP_LEVEL })] : [];
  const written = pipeline([
    child.stdout,
    whole,
    ...compress,
    kept,
    createWriteStream(file, { mode: 0o644 }),
  ]);
  const [outcome] = await Promise.allSettled([written]);
  if (outcome.status === 'rejected') child.kill('SIGKILL');
  const code = await closed; // only now is nothing left that writes below the folder
  signal.throwIfAborted();
  if (spawnError) throw startError(spawnError);
  if (code === 127) throw missingError();
  if (code !== 0) throw makeError(name, said);
  if (outcome.status === 'rejected') throw outcome.reason;
  await syncFile(file);
  return { diffId: whole.digest(), digest: kept.digest(), sizeBytes: (await stat(file)).size };
}

/** Passes bytes on and remembers their SHA-256. */
class Measure extends Transform {
  readonly #hash = createHash('sha256');

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error: null, chunk: Buffer) => void,
  ): void {
    this.#hash.update(chunk);
    done(null, chunk);
  }

  digest(): string {
    return `sha256:${this.#hash.digest('hex')}`;
  }
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The host's own Debian sources; none means mmdebstrap's defaults (another release or distribution on the host). */
async function hostSources(): Promise<string[]> {
  const folder = '/etc/apt';
  const names = ['sources.list'];
  try {
    names.push(
      ...(await readdir(path.join(folder, 'sources.list.d'))).sort().map((name) => `sources.list.d/${name}`),
    );
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
  }
  const files: { name: string; text: string }[] = [];
  for (const name of names.filter((name) => /\.(list|sources)$/.test(name))) {
    try {
      files.push({ name, text: await readFile(path.join(folder, name), 'utf8') });
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error;
    }
  }
  return debianSourceLines(files, RELEASE);
}

/** apt's proxies of the host, which mmdebstrap's own apt configuration would not see. */
async function proxyOptions(exec: Exec): Promise<string[]> {
  const { code, stdout } = await exec.tryRun('apt-config', ['dump']);
  if (code !== 0) return [];
  return stdout
    .split('\n')
    .filter((line) => /^Acquire::https?::(Proxy|CAInfo)\b.*";$/.test(line) && !line.includes('""'))
    .map((line) => `--aptopt=${line.replace(/;$/, '')}`);
}

function missingError(): PlatformError {
  return new PlatformError('unavailable', 'cannot make the base images: mmdebstrap is not installed', {
    hint: 'Install it with `apt-get install mmdebstrap`.',
  });
}

function startError(error: unknown): PlatformError {
  if (error instanceof Error && error.name === 'AbortError') {
    return new PlatformError(
      'timeout',
      `a base image was not made within ${MAKE_TIMEOUT_MS / 60_000} minutes`,
      { cause: error },
    );
  }
  return new PlatformError('internal', 'cannot run mmdebstrap', { cause: error });
}

/** Says which host could not be reached, when that is why. */
export function makeError(name: BaseName, said: readonly string[]): PlatformError {
  const network = said.filter((line) =>
    /^\s*(Err:|E: Failed to fetch|W: Failed to fetch|Could not (resolve|connect)|Temporary failure|Unable to connect)/.test(
      line,
    ),
  );
  if (network.length > 0) {
    return new PlatformError(
      'unavailable',
      `cannot fetch Debian packages for the ${name} base image: ${network.slice(0, 3).join(' ').trim()}`,
      {
        hint: 'Check that this machine reaches the Debian mirror of its apt sources (or set its proxy), then try again.',
      },
    );
  }
  return new PlatformError(
    'internal',
    `mmdebstrap could not make the ${name} base image: ${said.slice(-5).join('\n')}`,
  );
}
