import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  type ContainerSpec,
  type Engine,
  listKernelObjects,
  openEngine,
  teardownKernelObjects,
} from '#libs/engine';
import { randomText, systemClock, systemExec } from '#libs/host';
import { createLogger } from '#libs/log';

export const deps = {
  exec: systemExec,
  clock: systemClock,
  log: createLogger({ name: 'engine-test', level: 'warn' }),
};

const PROGRAMS = [
  'bash',
  'cat',
  'grep',
  'head',
  'sleep',
  'id',
  'ls',
  'mknod',
  'mount',
  'touch',
  'stat',
  'true',
  'unshare',
  'ln',
];
/** Inside, the Node that runs the tests; bound with a map, so that it needs no copy. */
export const NODE = '/node/bin/node';

/** Shared libraries of a program, its loader among them, as ldd(1) names them. */
async function libraries(program: string): Promise<string[]> {
  const { stdout } = await systemExec.run('ldd', [program]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].flatMap((match) => match[1] ?? []);
}

/** A rootfs of the host's own programs: nothing is downloaded or installed for a test. */
async function writeRootfs(folder: string): Promise<void> {
  for (const name of ['bin', 'etc', 'tmp', 'workspace', 'data'])
    await mkdir(path.join(folder, name), { recursive: true });
  const wanted = new Map<string, string>();
  for (const name of PROGRAMS) {
    const program = (await systemExec.run('which', [name])).stdout.trim();
    wanted.set(`/bin/${name}`, program);
    for (const library of await libraries(program)) wanted.set(library, library);
  }
  for (const library of await libraries(process.execPath)) wanted.set(library, library);
  for (const [inside, outside] of wanted) {
    await mkdir(path.join(folder, path.dirname(inside)), { recursive: true });
    await copyFile(outside, path.join(folder, inside));
  }
  await symlink('bash', path.join(folder, 'bin/sh'));
  await chmod(path.join(folder, 'tmp'), 0o1777);
  await writeFile(
    path.join(folder, 'etc/passwd'),
    'root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/workspace:/bin/sh\n',
  );
  await writeFile(path.join(folder, 'etc/group'), 'root:x:0:\napp:x:1000:\nextra:x:1234:app\n');
}

export interface Fixture {
  root: string;
  installationId: string;
  layer: string;
  engine: Engine;
  open(options?: { nameServers?: string[] }): Promise<Engine>;
  /** A shell command as user app, 64 MiB, no network, unless told otherwise. */
  spec(id: string, command: string, more?: Partial<ContainerSpec>): ContainerSpec;
  /** As `spec`, with a program for Node. */
  nodeSpec(id: string, program: string, more?: Partial<ContainerSpec>): ContainerSpec;
  /** Creates, starts, waits; the output's lines without their stamps. The container stays. */
  run(spec: ContainerSpec): Promise<{ code: number; oomKilled: boolean; output: string }>;
  output(id: string): Promise<string>;
  /** Closes, takes down and removes everything; throws when the engine left something that teardown could not find. */
  dispose(): Promise<void>;
}

interface TestLayer {
  folder: string;
  tar: string;
  diffId: string;
}

let layer: Promise<TestLayer> | undefined;
let fixtures = 0;

async function makeLayer(): Promise<TestLayer> {
  const folder = mkdtempSync(path.join(tmpdir(), 'gantry-rootfs-'));
  const tree = path.join(folder, 'tree');
  await mkdir(tree);
  await writeRootfs(tree);
  const tar = path.join(folder, 'layer.tar');
  await systemExec.run('tar', ['--numeric-owner', '--owner=0', '--group=0', '-cf', tar, '-C', tree, '.']);
  const diffId = `sha256:${createHash('sha256')
    .update(await readFile(tar))
    .digest('hex')}`;
  return { folder, tar, diffId };
}

/** The layer's tar and diff id; made once, and kept while there is a fixture. */
export function testLayer(): Promise<TestLayer> {
  layer ??= makeLayer();
  return layer;
}

async function letGoOfLayer(): Promise<void> {
  fixtures -= 1;
  if (fixtures > 0 || !layer) return;
  const { folder } = await layer;
  layer = undefined;
  await rm(folder, { recursive: true, force: true });
}

export function textOfLog(log: string): string {
  return log
    .split('\n')
    .map((line) => line.split(' ').slice(3).join(' '))
    .join('\n')
    .trim();
}

export async function makeFixture(
  options: { nameServers?: string[]; sharedLayers?: string } = {},
): Promise<Fixture> {
  const root = mkdtempSync(path.join(tmpdir(), 'gantry-engine-'));
  await chmod(root, 0o711);
  const installationId = randomText(5);
  fixtures += 1;
  const { tar, diffId } = await testLayer();
  const open = (more = options) =>
    openEngine({ root: path.join(root, 'engine'), installationId, ...more }, deps);
  const engine = await open().catch(async (error: unknown) => {
    await teardownKernelObjects(installationId, deps);
    await rm(root, { recursive: true, force: true });
    await letGoOfLayer();
    throw error;
  });
  await engine.importLayer(diffId, createReadStream(tar));
  const fixture: Fixture = {
    root,
    installationId,
    layer: diffId,
    engine,
    open,
    spec: (id, command, more = {}) => ({
      id,
      organizationId: 'org_a',
      ownerId: 'app_a',
      profile: 'instance',
      labels: { test: 'yes' },
      layers: [diffId],
      argv: ['/bin/sh', '-c', command],
      env: {},
      workingDir: '/',
      user: 'app',
      hostname: 'web-1',
      resources: { memoryBytes: 64 << 20, cpus: 1, pids: 64 },
      mounts: [],
      network: 'none',
      logMaxBytes: 1 << 20,
      ...more,
    }),
    nodeSpec: (id, program, more = {}) => {
      const node = path.dirname(path.dirname(process.execPath));
      return fixture.spec(id, '', {
        argv: [NODE, '-e', program],
        resources: { memoryBytes: 256 << 20, cpus: 2, pids: 64 },
        mounts: [{ source: node, target: '/node', readonly: true, ownership: 'mapped' }],
        ...more,
      });
    },
    run: async (spec) => {
      await fixture.engine.create(spec);
      await fixture.engine.start(spec.id);
      const { code, oomKilled } = await fixture.engine.wait(spec.id);
      return { code, oomKilled, output: await fixture.output(spec.id) };
    },
    output: async (id) => textOfLog(await readFile(fixture.engine.get(id)?.logFile ?? '', 'utf8')),
    dispose: async () => {
      await fixture.engine.close();
      await teardownKernelObjects(installationId, deps);
      const left = await listKernelObjects(installationId, deps);
      await rm(root, { recursive: true, force: true });
      await letGoOfLayer();
      if (left.length > 0) throw new Error(`left behind: ${JSON.stringify(left)}`);
    },
  };
  return fixture;
}

/** Resolves once `probe` gives something; asks again every 10 ms, since a kernel tells nobody of most changes. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`${what} did not happen within 20 s`);
    await systemClock.sleep(10);
  }
}
