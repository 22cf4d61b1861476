import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { systemExec } from '#libs/host';
import { ask } from '../../test/e2e/traffic.ts';
import { freePort } from '../../test/platform.ts';

const BASES = '/var/cache/gantry/bases';
const DOCKERFILE = `FROM gantry-bench-base
WORKDIR /workspace
ENV PATH=/opt/node/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin NODE_EXTRA_CA_CERTS=/ca.crt npm_config_cafile=/ca.crt
COPY ca.crt /ca.crt
COPY package.json package-lock.json ./
RUN npm ci --omit=dev
COPY . .
CMD ["node", "server.js"]
`;

/**
 * The same app by docker build + docker run, on the same Debian base and the same Node. On the host's network, which
 * spares docker the cost of a bridge that Gantry's instances do have.
 */
export class DockerBench {
  #container: string | undefined;

  private constructor(
    private readonly folder: string,
    private readonly port: number,
  ) {}

  /** Undefined where no dockerd answers. */
  static async start(): Promise<DockerBench | undefined> {
    const { code } = await systemExec.tryRun('docker', ['info']).catch(() => ({ code: 127 }));
    if (code !== 0) return undefined;
    const folder = await mkdtemp(path.join(os.tmpdir(), 'gt-docker-'));
    await cp(path.join(import.meta.dirname, '../../test/fixtures/apps/express'), folder, { recursive: true });
    await writeFile(path.join(folder, 'Dockerfile'), DOCKERFILE);
    await cp('/etc/ssl/certs/ca-certificates.crt', path.join(folder, 'ca.crt'));
    await importBase();
    return new DockerBench(folder, await freePort());
  }

  /** Changes one line, builds, replaces the container, and waits for the new text. */
  async push(text: string): Promise<number> {
    await writeFile(path.join(this.folder, 'greeting.txt'), text);
    const startedAt = Date.now();
    const env = { ...process.env, DOCKER_BUILDKIT: '0' };
    await systemExec.run(
      'docker',
      ['build', '-q', '--network', 'host', '-t', 'gantry-bench-app', this.folder],
      { env },
    );
    if (this.#container) await systemExec.run('docker', ['rm', '-f', this.#container]);
    const run = ['run', '-d', '--network', 'host', '-e', `PORT=${this.port}`, 'gantry-bench-app'];
    this.#container = (await systemExec.run('docker', run)).stdout.trim();
    for (;;) {
      const answer = await ask(this.port, 'localhost').catch(() => undefined);
      if (answer?.body.trim() === text) return Date.now() - startedAt;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async stop(): Promise<void> {
    if (this.#container) await systemExec.tryRun('docker', ['rm', '-f', this.#container]);
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Gantry's own build base, which carries Node and npm, as a docker image. */
async function importBase(): Promise<void> {
  const { code } = await systemExec.tryRun('docker', ['image', 'inspect', 'gantry-bench-base']);
  if (code === 0) return;
  const folder = await mkdtemp(path.join(os.tmpdir(), 'gt-base-'));
  try {
    for (const layer of await layersOfBuildBase()) {
      await systemExec.run('tar', ['-xf', layer, '-C', folder, '--exclude=dev/*']);
    }
    const tar = systemExec.spawn('tar', ['-cf', '-', '-C', folder, '.'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (!tar.stdout) throw new Error('tar has no output');
    await systemExec.run('docker', ['import', '-', 'gantry-bench-base'], { input: tar.stdout });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The layer files of the newest `build` base on this machine. */
async function layersOfBuildBase(): Promise<string[]> {
  const recipes = (await readdir(BASES)).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const folders = recipes.map((recipe) => path.join(BASES, recipe, 'build'));
  const ages = await Promise.all(folders.map(async (folder) => (await stat(folder)).mtimeMs));
  const folder = folders[ages.indexOf(Math.max(...ages))];
  if (!folder) throw new Error('no base image was made on this machine yet');
  const { layers } = JSON.parse(await readFile(path.join(folder, 'base.json'), 'utf8')) as {
    layers: { file: string }[];
  };
  return layers.map((layer) => path.join(folder, layer.file));
}
