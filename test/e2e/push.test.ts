import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Platform, startPlatform } from '../platform.ts';
import { waitFor } from '../wait-for.ts';
import { SourceRepo } from './source-repo.ts';
import { ask, Traffic } from './traffic.ts';

/** The story of a newcomer's first app, in the order in which it happens; each step stands on the ones before it. */
let platform: Platform;
let repo: SourceRepo;
const HOST = 'hello.gantry.localhost';

beforeAll(async () => {
  platform = await startPlatform();
  repo = await SourceRepo.create('express', platform.env);
});
afterAll(async () => {
  await repo?.remove();
  await platform?.down();
});

const cli = (...args: string[]) => platform.cli(args, { cwd: repo.folder });
const get = (path = '/') => ask(platform.httpPort, HOST, { path });

async function json<T>(...args: string[]): Promise<T> {
  const { stdout } = await cli(...args, '--json');
  return JSON.parse(stdout) as T;
}

/** Changes the app's greeting and commits. */
async function greet(word: string): Promise<void> {
  await repo.write('greeting.txt', word);
  await repo.commit(`say ${word}`);
}

describe('git push platform main', () => {
  it('logs in and creates the app with its remote', async () => {
    await cli('login', '--data', platform.dataDir);
    const created = await cli('apps', 'create', 'hello');
    expect(created.code).toBe(0);
    expect((await repo.git('remote', 'get-url', 'platform')).stdout).toContain('/git/hello.git');
    await waitFor(async () => expect((await get()).status).toBe(503));
    expect((await get()).body).toContain('git push platform main');
  });

  it('builds, shows the log and puts the app on its URL', async () => {
    const pushed = await repo.push();
    expect(pushed.stderr).toContain('remote: ');
    expect(pushed.stderr).toContain(`http://${HOST}:${platform.httpPort}/`);
    expect(pushed.code).toBe(0);
    expect(await get()).toMatchObject({ status: 200, body: expect.stringContaining('hello') });
  });

  it('runs in its own hardened container', async () => {
    const facts = JSON.parse((await get('/sandbox')).body) as Record<string, string>;
    expect(facts.capEff).toMatch(/^0+$/);
    expect(facts.noNewPrivs).toBe('1');
    expect(facts.seccomp).toBe('2');
    expect(Number(facts.uidMapHost)).toBeGreaterThan(65_535);
    expect(facts.pid).not.toBe(String(process.pid));
  });

  it('answers 404 for a host that is nobody’s', async () => {
    expect((await ask(platform.httpPort, 'nobody.gantry.localhost')).status).toBe(404);
  });

  it('scales to 2, and both answer', async () => {
    await cli('scale', 'web=2');
    const seen = new Set<string>();
    await waitFor(async () => {
      seen.add((await get('/instance')).body);
      expect(seen.size).toBe(2);
    });
    const { items } = await json<{ items: { state: string }[] }>('ps');
    expect(items.map((item) => item.state)).toEqual(['healthy', 'healthy']);
  });

  it('replaces the version without one failed request, and reuses the dependencies', async () => {
    await greet('changed');
    const traffic = new Traffic(platform.httpPort, HOST);
    const pushed = await repo.push();
    await waitFor(async () => expect((await get()).body).toContain('changed'));
    await traffic.stop();
    expect(pushed.code).toBe(0);
    expect(pushed.stderr).not.toMatch(/added \d+ packages/);
    expect(traffic.failures).toEqual([]);
    expect([...traffic.bodies.keys()].length).toBe(2); // the old words, then the new ones
  });

  it('rolls back without one failed request', async () => {
    const traffic = new Traffic(platform.httpPort, HOST);
    expect((await cli('rollback')).code).toBe(0);
    await waitFor(async () => expect((await get()).body).toContain('hello'));
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
    const { items } = await json<{ items: { number: number; reason: string; current: boolean }[] }>(
      'releases',
    );
    expect(items[0]).toMatchObject({ number: 3, reason: 'rollback to v1', current: true });
  });

  it('gives config to the app by a new release', async () => {
    expect((await cli('config', 'set', 'GREETING=from-config')).code).toBe(0);
    await waitFor(async () => expect((await get('/env')).body).toBe('from-config'));
    expect(await json('config', 'list')).toEqual({ GREETING: 'from-config' });
  });

  it('refuses a push whose install fails, keeps the log, and the old release serves on', async () => {
    const manifest = JSON.parse((await repo.git('show', 'HEAD:package.json')).stdout) as Record<
      string,
      object
    >;
    await repo.write(
      'package.json',
      JSON.stringify({ ...manifest, dependencies: { express: '0.0.0-nope' } }),
    );
    await repo.commit('break the install');
    const pushed = await repo.push();
    expect(pushed.code).not.toBe(0);
    expect(pushed.stderr).toContain('[remote rejected] main -> main (build failed)');
    expect((await get()).status).toBe(200);
    const { items } = await json<{ items: { number: number; status: string }[] }>('builds');
    expect(items[0]).toMatchObject({ status: 'failed' });
    const log = await cli('builds', 'log', String(items[0]?.number));
    expect(log.stdout + log.stderr).toMatch(/npm/);
    await repo.git('reset', '-q', '--hard', 'HEAD~1');
  });

  it('fails a deployment whose app exits at boot, and shows its last lines', async () => {
    await repo.write('mode.txt', 'crash');
    await repo.commit('crash at boot');
    const pushed = await repo.push();
    expect(pushed.code).not.toBe(0);
    expect(pushed.stderr).toContain('boom at boot');
    expect(pushed.stderr).toContain('[remote rejected] main -> main (deployment failed)');
    expect((await get()).status).toBe(200);
    await repo.git('reset', '-q', '--hard', 'HEAD~1');
  });

  it('a failed push can be repeated after the reason is gone', async () => {
    await greet('again');
    expect((await repo.push()).code).toBe(0);
    expect((await get()).body).toContain('again');
  });

  it('accepts another branch, with a hint', async () => {
    await repo.git('branch', '-f', 'feature');
    const pushed = await repo.push('feature');
    expect(pushed.code).toBe(0);
    expect(pushed.stderr).toMatch(/remote: .*main/);
  });

  it('refuses a source that nothing recognises, saying what was looked for', async () => {
    const other = await SourceRepo.create(null, platform.env);
    try {
      await other.write('notes.txt', 'just words');
      await other.commit('first');
      await platform.cli(['apps', 'create', 'words'], { cwd: other.folder });
      const pushed = await other.push();
      expect(pushed.code).not.toBe(0);
      expect(pushed.stderr).toMatch(/package\.json/);
      expect(pushed.stderr).toMatch(/Procfile/);
    } finally {
      await other.remove();
    }
  });

  it('answers a wrong token with how to log in', async () => {
    const url = new URL((await repo.git('remote', 'get-url', 'platform')).stdout.trim());
    url.username = 'x';
    url.password = 'wrong';
    await repo.git('remote', 'add', 'wrong', String(url));
    await expect(repo.git('-c', 'credential.helper=', 'push', 'wrong', 'main')).rejects.toThrow(
      /gantry login|Authentication failed/,
    );
  });

  it('queues a second push while one builds; both land in order', async () => {
    await greet('first-of-two');
    const first = repo.push();
    await waitFor(async () => {
      const { items } = await json<{ items: { status: string }[] }>('builds');
      expect(['running', 'queued']).toContain(items[0]?.status);
    });
    await greet('second-of-two');
    const second = repo.push();
    expect((await first).code).toBe(0);
    expect((await second).code).toBe(0);
    expect((await get()).body).toContain('second-of-two');
  });

  it('keeps the log lines of the app', async () => {
    await get('/log?line=marker-42');
    await waitFor(async () => expect((await cli('logs', '--tail', '50')).stdout).toContain('marker-42'));
  });

  it('deploys the image that it built by its reference, and says so when there is none', async () => {
    const { items } = await json<{ items: { image: string }[] }>('releases');
    const registry = new URL(platform.url).host;
    expect((await cli('deploy', '--image', `${registry}/${items[0]?.image}`)).code).toBe(0);
    const missing = await cli('deploy', '--image', `${registry}/${items[0]?.image.split('@')[0]}:nope`);
    expect(missing.code).not.toBe(0);
    expect(missing.stderr).toMatch(/not found|no such|there is no/i);
  });

  it('says what to do about a taken and an invalid name', async () => {
    expect((await cli('apps', 'create', 'hello', '--no-remote')).stderr).toContain('taken');
    expect((await cli('apps', 'create', 'Not_A_Name', '--no-remote')).code).not.toBe(0);
  });

  it('destroys the app with all that is its', async () => {
    await cli('apps', 'destroy', 'hello', '--confirm', 'hello');
    await waitFor(async () => expect((await get()).status).toBe(404));
  });
});
