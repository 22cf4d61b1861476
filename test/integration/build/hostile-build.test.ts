import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES, Workbench } from './harness.ts';

/** What lies on the host where no build may read. */
const SECRET = 'of-the-host-alone';

let bench: Workbench;
beforeAll(async () => {
  bench = await Workbench.open();
}, 300_000);
afterAll(() => bench?.close());

describe('a hostile build', () => {
  async function script(body: string): Promise<string> {
    const folder = await bench.copyOf('broken-build');
    await writeFile(path.join(folder, 'evil.sh'), body);
    await writeFile(
      path.join(folder, 'package.json'),
      JSON.stringify({
        name: 'evil',
        private: true,
        scripts: { build: 'bash evil.sh', start: 'node server.js' },
      }),
    );
    await rm(path.join(folder, 'package-lock.json'));
    return folder;
  }

  it('that forks without end hits its process limit and is stopped in time', async () => {
    const source = await script('bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 60');
    const started = Date.now();
    const built = bench.build(source, 'evil', {
      build: { timeoutMs: 8_000, resources: { memoryBytes: 2 ** 29, cpus: 1, pids: 64 } },
    });
    await expect(built).rejects.toMatchObject({ code: 'build_failed' });
    expect(Date.now() - started).toBeLessThan(30_000);
    expect(await bench.leftovers()).toEqual([]);
  });

  it('that never ends is stopped at its time limit', async () => {
    const source = await script('echo started; sleep 1000');
    const built = bench.build(source, 'evil', { build: { timeoutMs: 6_000 } });
    await expect(built).rejects.toMatchObject({
      code: 'build_failed',
      message: expect.stringMatching(/did not end within 6 s/),
    });
    expect(await bench.leftovers()).toEqual([]);
  });

  it('that fills the disk is stopped', async () => {
    const source = await script('yes > /workspace/big');
    const diskLimits = { maxGrowthBytes: 200 << 20, reserveBytes: 1 << 20, reserveInodeShare: 0 };
    await expect(bench.build(source, 'evil', { diskLimits })).rejects.toMatchObject({
      message: expect.stringMatching(/wrote more than 200 MiB/),
    });
    expect(await bench.leftovers()).toEqual([]);
  });

  it('that wants more memory than it may have is told so', async () => {
    const source = await script('node -e "const kept = []; for (;;) kept.push(Buffer.alloc(1 << 24, 1))"');
    const built = bench.build(source, 'evil', {
      build: { resources: { memoryBytes: 256 << 20, cpus: 1, pids: 256 } },
    });
    await expect(built).rejects.toMatchObject({ code: 'build_failed' });
  });

  it('cannot make the export read the host by links in place of its layers', async () => {
    const outside = path.join(bench.root, 'outside');
    await mkdir(outside);
    await writeFile(path.join(outside, 'secret'), SECRET);
    const source = await script(
      [
        `ln -s ${outside}/secret /workspace/secret-link`,
        `rm -rf /layers/nodejs/node && ln -s ${outside} /layers/nodejs/node`,
        `rm -rf /layers/nodejs/extra && ln -s ${outside} /layers/nodejs/extra`,
        "printf '[types]\\nlaunch = true\\n' > /layers/nodejs/extra.toml",
        `ln -s ${outside} /layers/other`,
        `ln -sf ${outside}/secret /layers/procfile/launch.toml`,
      ].join('\n'),
    );
    const { image } = await bench.build(source, 'links');
    const { layers } = await bench.manifest(image.digest);
    for (const { digest } of layers) expect((await bench.contentsOf(digest)).includes(SECRET)).toBe(false);
    const { history } = await bench.config(image.digest);
    expect(history?.map((entry) => entry.created_by)).not.toContain('buildpack nodejs layer extra');
    expect(await bench.leftovers()).toEqual([]);
  });

  it('is gone when the build is cancelled', async () => {
    const source = await script('echo started; sleep 1000');
    const cancel = new AbortController();
    const reason = new Error('the user changed their mind');
    const onLine = (line: string) => line.includes('started') && cancel.abort(reason);
    await expect(bench.build(source, 'evil', { signal: cancel.signal, onLine })).rejects.toBe(reason);
    expect(await bench.leftovers()).toEqual([]);
  });

  it('does not see config of others, and secrets that it prints are hidden in the log', async () => {
    const source = await script(
      'echo "token is $API_TOKEN"; cat /platform/env/API_TOKEN; ls -la /platform/env; printf "\\e[31mred\\e[0m\\rplain\\n"; exit 1',
    );
    const lines: string[] = [];
    const built = bench.build(source, 'evil', {
      build: { env: { API_TOKEN: 'very-secret-value', PATH: '/nowhere' } },
      onLine: (line) => lines.push(line),
    });
    await expect(built).rejects.toMatchObject({ code: 'build_failed' });
    expect(lines.join('\n')).toContain('token is [hidden]');
    expect(lines.join('\n')).not.toContain('very-secret-value');
    expect(lines).toContain('plain');
  });
});

describe('an agent that was killed', () => {
  it('leaves a work folder and a container that the same build removes when it is started again', async () => {
    const folder = path.join(bench.workDir, 'bld_again');
    await mkdir(path.join(folder, 'layers'), { recursive: true });
    await writeFile(path.join(folder, 'layers', 'half'), 'made');
    await bench.build(path.join(FIXTURES, 'procfile'), 'procfile', { build: { id: 'bld_again' } });
    expect(await bench.leftovers()).toEqual([]);
  });
});
