import { rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Container } from '#libs/engine';
import { waitFor } from '../../wait-for.ts';
import { type BuildRun, FIXTURES, Workbench } from './harness.ts';

let bench: Workbench;

beforeAll(async () => {
  bench = await Workbench.open();
}, 300_000);
afterAll(() => bench?.close());

interface Answer {
  status: number;
  body: string;
  headers: http.IncomingHttpHeaders;
}

function ask(
  container: Container,
  at = '/',
  options: { method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: container.address ?? '', port: 8080, path: at, agent: false, ...options },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body, headers: response.headers }),
        );
      },
    );
    request.on('error', reject);
    request.end();
  });
}

/** Runs a build's service until `work` is done. */
async function whileRunning<T>(
  run: BuildRun,
  work: (container: Container) => Promise<T>,
  service = 'web',
): Promise<T> {
  const container = await bench.start(run, service);
  try {
    return await work(container);
  } finally {
    await bench.engine.remove(container.spec.id);
  }
}

const answers = (container: Container, at = '/') => waitFor(() => ask(container, at));

describe('a Node.js app with a lockfile', () => {
  let first: BuildRun;
  let source: string;

  it('is installed in the sandbox, becomes an image and runs', async () => {
    source = await bench.copyOf('express');
    first = await bench.build(source, 'express');
    expect(first.lines.join('\n')).toMatch(/-----> Node\.js app detected/);
    expect(first.lines.join('\n')).toMatch(/added \d+ packages/);
    expect(first.image.services).toEqual([{ name: 'web', argv: ['node', 'server.js'] }]);
    await whileRunning(first, async (container) => {
      expect((await answers(container)).body).toBe('hello\n');
      const facts = JSON.parse((await ask(container, '/sandbox')).body) as Record<string, string>;
      expect(facts).toMatchObject({
        uid: '1000',
        nodeEnv: 'production',
        node: expect.stringMatching(/^v24\./),
      });
    });
    expect(await bench.leftovers()).toEqual([]);
  });

  it('has layers for runtime and dependencies, the app folder last, and CNB labels', async () => {
    const { config, history } = await bench.config(first.image.digest);
    expect(history?.map((entry) => entry.created_by)).toEqual([
      'gantry base run',
      'buildpack nodejs layer modules',
      'buildpack nodejs layer node',
      'application',
    ]);
    expect(config).toMatchObject({ User: '1000:1000', WorkingDir: '/workspace', Cmd: ['node', 'server.js'] });
    expect(config?.Env).toContain('NODE_ENV=production');
    expect(config?.Env?.find((entry) => entry.startsWith('PATH='))).toMatch(
      /^PATH=\/layers\/nodejs\/node\/bin:.*:\/workspace\/node_modules\/\.bin$/,
    );
    const metadata = JSON.parse(config?.Labels?.['io.buildpacks.build.metadata'] ?? '{}') as {
      buildpacks: unknown;
    };
    expect(metadata.buildpacks).toEqual([{ id: 'nodejs', version: '1' }]);
  });

  it('built again from the same source is the same image, and nothing is installed', async () => {
    const pushedBefore = bench.registry.pushed.length;
    const again = await bench.build(source, 'express');
    expect(again.image.digest).toBe(first.image.digest);
    expect(again.lines.join('\n')).toContain('Dependencies unchanged (cached)');
    expect(again.lines.join('\n')).not.toMatch(/added \d+ packages|Installing/);
    expect(bench.registry.pushed.slice(pushedBefore)).toEqual([first.image.digest]); // the manifest only
  });

  it('built without a cache from the same source is the same image', async () => {
    const cold = await bench.build(source, 'express-elsewhere');
    expect(cold.lines.join('\n')).toMatch(/added \d+ packages/);
    expect(cold.image.digest).toBe(first.image.digest);
  });

  it('with one changed line pushes the app layer, configuration and manifest, and no more', async () => {
    await writeFile(path.join(source, 'greeting.txt'), 'changed');
    const pushedBefore = bench.registry.pushed.length;
    const changed = await bench.build(source, 'express');
    console.log('warm build, one line changed:', JSON.stringify(changed.image.timings));
    expect(bench.registry.pushed.length - pushedBefore).toBe(3);
    const [before, after] = [
      await bench.manifest(first.image.digest),
      await bench.manifest(changed.image.digest),
    ];
    expect(after.layers.slice(0, -1)).toEqual(before.layers.slice(0, -1));
    expect(after.layers.at(-1)?.digest).not.toBe(before.layers.at(-1)?.digest);
    await whileRunning(changed, async (container) =>
      expect((await answers(container)).body).toBe('changed\n'),
    );
  });

  it('reinstalls when the lockfile changes', async () => {
    const manifest = JSON.stringify({
      name: 'hello-express',
      private: true,
      scripts: { start: 'node server.js' },
      dependencies: { ms: '2.1.3' },
    });
    await rm(path.join(source, 'package-lock.json'));
    await writeFile(path.join(source, 'package.json'), manifest);
    const { lines } = await bench.build(source, 'express');
    expect(lines.join('\n')).toMatch(/Warning: no lockfile/);
    expect(lines.join('\n')).toMatch(/added 1 package/);
  });
});

describe('a build script', () => {
  it('has development dependencies, which the image has not; a second build reuses both', async () => {
    const first = await bench.build(path.join(FIXTURES, 'node-build'), 'node-build');
    expect(first.lines.join('\n')).toMatch(/built/);
    const body = await whileRunning(first, async (container) => (await answers(container)).body);
    expect(JSON.parse(body)).toEqual({ hour: 3_600_000, colors: 'absent' });
    const again = await bench.build(path.join(FIXTURES, 'node-build'), 'node-build');
    expect(again.lines.join('\n')).toContain('Dependencies unchanged (cached)');
    expect(again.lines.join('\n')).not.toContain('Leaving out');
    expect(again.image.digest).toBe(first.image.digest);
  });
});

describe('a static site', () => {
  it('is served with types, ranges, conditional requests and its own 404 page, hidden files not at all', async () => {
    const source = await bench.copyOf('static');
    await writeFile(path.join(source, 'assets', 'long.txt'), 'many words\n'.repeat(500));
    const run = await bench.build(source, 'static');
    await whileRunning(run, async (container) => {
      const page = await answers(container);
      expect(page).toMatchObject({
        status: 200,
        headers: { 'content-type': expect.stringMatching(/^text\/html/) },
      });
      expect(page.body).toContain('Hello from a static site');
      expect((await ask(container, '/assets/site.css')).headers['content-type']).toMatch(/^text\/css/);
      expect((await ask(container, '/assets/site.js')).headers['content-type']).toMatch(/^text\/javascript/);
      expect(await ask(container, '/', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
      expect(await ask(container, '/', { headers: { range: 'bytes=0-8' } })).toMatchObject({
        status: 206,
        body: '<!doctype',
      });
      const etag = page.headers.etag ?? '';
      expect(etag).not.toBe('');
      expect((await ask(container, '/', { headers: { 'if-none-match': etag } })).status).toBe(304);
      const missing = await ask(container, '/nope');
      expect(missing.status).toBe(404);
      expect((await ask(container, '/.hidden/secret.txt')).status).toBe(404);
      expect((await ask(container, '/Staticfile')).status).toBe(404);
      expect(
        (await ask(container, '/assets/long.txt', { headers: { 'accept-encoding': 'gzip' } })).headers[
          'content-encoding'
        ],
      ).toBe('gzip');
      expect(missing.body).toContain('This page is not here');
      for (const hidden of [
        '/.hidden/secret.txt',
        '/%2ehidden/secret.txt',
        '/.git/config',
        '/assets/',
        '/..%2f..%2fetc/passwd',
      ]) {
        const answer = await ask(container, hidden);
        expect([hidden, answer.status >= 400, answer.body.includes('nobody may read')]).toEqual([
          hidden,
          true,
          false,
        ]);
      }
    });
  });
});

describe('a Procfile', () => {
  it('alone makes an app of several process types, which get SIGTERM', async () => {
    const run = await bench.build(path.join(FIXTURES, 'procfile'), 'procfile');
    expect(run.image.services.map((service) => service.name)).toEqual(['web', 'worker']);
    await whileRunning(run, async (container) => {
      expect((await answers(container)).body).toBe('Hello from a Procfile\n');
      expect(await bench.engine.stop(container.spec.id, 10_000)).toMatchObject({ code: 0 });
    });
  });

  it('overrides what another buildpack found', async () => {
    const source = await bench.copyOf('express');
    await writeFile(
      path.join(source, 'Procfile'),
      'web: node --enable-source-maps server.js\nclock: node -e 1\n',
    );
    const run = await bench.build(source, 'express-procfile');
    expect(run.image.services).toEqual([
      { name: 'web', argv: ['/bin/bash', '-c', 'exec node --enable-source-maps server.js'] },
      { name: 'clock', argv: ['/bin/bash', '-c', 'exec node -e 1'] },
    ]);
  });
});

describe('a source that cannot be built', () => {
  const failures: [string, string, RegExp, RegExp][] = [
    [
      'unrecognised',
      'nothing detects',
      /no buildpack recognised the source; looked for: package\.json.*Procfile/,
      /^$/,
    ],
    [
      'broken-build',
      'its build script fails',
      /build step of the buildpack nodejs failed with exit code 1/,
      /about to break[\s\S]*build script/,
    ],
    [
      'broken-install',
      'lockfile and package.json disagree',
      /build step of the buildpack nodejs failed/,
      /npm ci[\s\S]*npm ci failed/,
    ],
    ['no-process', 'nothing says how to start it', /no process type was found/, /Node\.js app detected/],
  ];
  for (const [fixture, why, message, log] of failures) {
    it(`${why}: says so, with the log, and leaves nothing`, async () => {
      const lines: string[] = [];
      const built = bench.build(path.join(FIXTURES, fixture), fixture, {
        onLine: (line) => lines.push(line),
      });
      await expect(built).rejects.toMatchObject({
        code: 'build_failed',
        message: expect.stringMatching(message),
      });
      expect(lines.join('\n')).toMatch(log);
      expect(await bench.leftovers()).toEqual([]);
    });
  }

  it('keeps the cache of the last good build', async () => {
    const source = await bench.copyOf('express');
    await bench.build(source, 'express-keeps');
    const script = JSON.stringify({ name: 'x', private: true, scripts: { build: 'exit 9' } });
    await writeFile(path.join(source, 'package.json'), script);
    await rm(path.join(source, 'package-lock.json'));
    await expect(bench.build(source, 'express-keeps')).rejects.toMatchObject({ code: 'build_failed' });
    const { lines } = await bench.build(await bench.copyOf('express'), 'express-keeps');
    expect(lines.join('\n')).toMatch(/Node\.js 24\.[\d.]+ \(cached\)/);
  });
});
