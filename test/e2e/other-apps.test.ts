import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type Platform, startPlatform } from '../platform.ts';
import { waitFor } from '../wait-for.ts';
import { SourceRepo } from './source-repo.ts';
import { ask } from './traffic.ts';

let platform: Platform;
const repos: SourceRepo[] = [];

beforeAll(async () => {
  platform = await startPlatform();
  await platform.cli(['login', '--data', platform.dataDir]);
});
afterAll(async () => {
  for (const repo of repos) await repo.remove();
  await platform?.down();
});

/** Creates an app of this name from a fixture and pushes it. */
async function launch(fixture: string, name: string): Promise<SourceRepo> {
  const repo = await SourceRepo.create(fixture, platform.env);
  repos.push(repo);
  await platform.cli(['apps', 'create', name], { cwd: repo.folder });
  const pushed = await repo.push();
  expect(pushed.stderr).toContain(`http://${name}.gantry.localhost`);
  expect(pushed.code).toBe(0);
  return repo;
}

describe('a static site', () => {
  it('serves its files with their types, and nothing else', async () => {
    await launch('static', 'site');
    const page = await ask(platform.httpPort, 'site.gantry.localhost');
    expect(page).toMatchObject({
      status: 200,
      headers: { 'content-type': expect.stringContaining('text/html') },
    });
    expect((await ask(platform.httpPort, 'site.gantry.localhost', { path: '/nope' })).status).toBe(404);
    expect((await ask(platform.httpPort, 'site.gantry.localhost', { path: '/.git/config' })).status).toBe(
      404,
    );
  });
});

describe('a Procfile app', () => {
  it('runs web, and worker once it is scaled up', async () => {
    const repo = await launch('procfile', 'proc');
    expect((await ask(platform.httpPort, 'proc.gantry.localhost')).status).toBe(200);
    const cli = (...args: string[]) => platform.cli(args, { cwd: repo.folder });
    expect((await cli('scale', 'worker=1')).code).toBe(0);
    await waitFor(async () => {
      const { stdout } = await cli('logs', '--service', 'worker', '--tail', '20');
      expect(stdout).toMatch(/worker/);
    });
  });
});

describe('volumes', () => {
  it('stay across deploys, restarts and down/up of the platform', async () => {
    const repo = await launch('express', 'keeper');
    const cli = (...args: string[]) => platform.cli(args, { cwd: repo.folder });
    const on = (path: string, method = 'GET') =>
      ask(platform.httpPort, 'keeper.gantry.localhost', { path, method });
    expect((await cli('volumes', 'create', 'files', '--mount', '/data')).code).toBe(0);
    await waitFor(async () => expect((await on('/data/note?text=kept', 'PUT')).status).toBe(200));
    await repo.write('greeting.txt', 'v2');
    await repo.commit('v2');
    expect((await repo.push()).code).toBe(0);
    expect((await on('/data/note')).body).toBe('kept');

    await platform.down();
    platform = await startPlatform({
      dataDir: platform.dataDir,
      httpPort: platform.httpPort,
      apiPort: platform.apiPort,
    });
    await platform.cli(['login', '--data', platform.dataDir]);
    await waitFor(async () => expect((await on('/data/note')).body).toBe('kept'));
    expect((await on('/')).body).toContain('v2');
  });
});

describe('WebSockets', () => {
  it('pass through the router', async () => {
    await launch('express', 'sockets');
    const socket = new WebSocket(`ws://127.0.0.1:${platform.httpPort}/socket`, {
      headers: { host: 'sockets.gantry.localhost' },
    });
    const echoed = await new Promise<string>((resolve, reject) => {
      socket.on('open', () => socket.send('ping'));
      socket.on('message', (data) => resolve(String(data)));
      socket.on('error', reject);
    });
    socket.close();
    expect(echoed).toBe('echo ping');
  });
});

describe('an app that never listens on $PORT', () => {
  it('fails its deployment within the time limit, says so, and the old release serves', async () => {
    const repo = await launch('express', 'deaf');
    await repo.write('mode.txt', 'deaf');
    await repo.commit('never listen');
    const pushed = await repo.push();
    expect(pushed.stderr).toContain('[remote rejected] main -> main (deployment failed)');
    expect(pushed.stderr).toContain('did not listen on $PORT (8080) within 60 s');
    expect(pushed.stderr).toContain('running, but not listening');
    expect((await ask(platform.httpPort, 'deaf.gantry.localhost')).status).toBe(200);
  });
});
