import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { userEndpoints } from '#libs/contract';
import { systemExec } from '#libs/host';
import { hashToken } from '../../../apps/control-plane/src/auth/authentication.service.ts';
import { newId, PrismaService } from '../../../apps/control-plane/src/database/prisma.service.ts';
import { GIT_LIMITS, type GitLimits } from '../../../apps/control-plane/src/git/limits.ts';
import { waitFor } from '../../wait-for.ts';
import { startControlPlane, type TestControlPlane } from './control-plane.ts';
import { FakeBuilder, SUCCEEDED } from './fake-builder.ts';
import { FakeNode, FakeRouter } from './fake-node.ts';
import { GitClient } from './git-client.ts';

let plane: TestControlPlane;
let node: FakeNode;
let router: FakeRouter;
let builder: FakeBuilder;
let git: GitClient;
let counter = 0;
let slug = '';

beforeAll(async () => {
  plane = await startControlPlane();
});
afterAll(() => plane.stop());

beforeEach(async () => {
  slug = `app-${++counter}`;
  await plane.user.call(userEndpoints.createApp, { body: { slug } });
  node = new FakeNode(plane.node);
  router = new FakeRouter(plane.router);
  builder = new FakeBuilder(plane.url, plane.tokens.node, plane.node, node);
  for (const part of [node, router, builder]) part.start();
  git = await GitClient.create();
  await git.ok('remote', 'add', 'platform', remote());
});
afterEach(async () => {
  for (const part of [builder, router, node]) await part.stop();
  await git.remove();
});

const remote = (token = plane.tokens.admin, name = slug) =>
  `${plane.url.replace('//', `//x:${token}@`)}/git/${name}.git`;
const push = (...refs: string[]) => git.run('push', 'platform', ...(refs.length ? refs : ['main']));
const builds = async () => (await plane.user.call(userEndpoints.listBuilds, { params: { app: slug } })).items;
const remoteMain = async () => (await git.ok('ls-remote', 'platform', 'refs/heads/main')).slice(0, 40);

/** A way to hold builds until the test lets them go. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>();
  builder.behaviour = async ({ say, desired }) => {
    await say(`building ${desired.commit.slice(0, 7)}`);
    await promise;
    return SUCCEEDED;
  };
  return resolve;
}

const started = (count = 1) => waitFor(() => expect(builder.builds).toHaveLength(count));

describe('git push of main', () => {
  it('builds the commit, deploys it, streams both, and moves the branch', async () => {
    const commit = await git.commit({ 'package.json': '{}', 'lib/a.js': 'a' });
    builder.behaviour = async ({ say }) => {
      await say('Installing', '\u001b[31mred\u001b[0m\u0007 and\tplain');
      return SUCCEEDED;
    };
    const { code, stderr } = await push();
    expect(stderr).toMatch(/remote: -----> Build #1 of app-\d+ \(commit [0-9a-f]{7}\)/);
    expect(stderr).toContain('remote: Installing');
    expect(stderr).toMatch(/remote: red and\tplain/);
    expect(stderr).toMatch(/remote: Deploying v1 \(build #1\)/);
    expect(stderr).toContain(`remote: ${slug} v1 is live: http://${slug}.gantry.localhost:8080/`);
    expect(stderr).toContain('* [new branch]      main -> main');
    expect(code).toBe(0);
    expect(await remoteMain()).toBe(commit);
    const [build] = builder.builds;
    expect(build?.desired).toMatchObject({
      commit,
      number: 1,
      sourceDateEpoch: Number((await git.ok('log', '-1', '--format=%ct')).trim()),
    });
    const listed = await systemExec.run('tar', ['-tf', '-'], { input: build?.source ?? '' });
    expect(listed.stdout.split('\n').filter(Boolean)).toEqual(['lib/', 'lib/a.js', 'package.json']);
    expect(await builds()).toMatchObject([
      { number: 1, status: 'succeeded', source: { kind: 'git', commit } },
    ]);
  });

  it('a failed build refuses the push, and the same push can be repeated', async () => {
    const commit = await git.commit({ a: '1' });
    builder.behaviour = async ({ say }) => {
      await say('npm error');
      return { status: 'failed', error: 'npm ci ended with 1' };
    };
    const first = await push();
    expect(first.code).not.toBe(0);
    expect(first.stderr).toContain('remote: npm error');
    expect(first.stderr).toContain('remote: Build #1 failed: npm ci ended with 1');
    expect(first.stderr).toContain('! [remote rejected] main -> main (build failed)');
    expect(await remoteMain()).toBe('');
    builder.behaviour = async () => SUCCEEDED;
    const second = await push();
    expect(second.code).toBe(0);
    expect(second.stderr).toContain('v1 is live');
    expect(await remoteMain()).toBe(commit);
  });

  it('a failed deployment refuses the push and says that the old release serves', async () => {
    const good = await git.commit({ a: '1' });
    await push();
    await git.commit({ a: '2' });
    const exit = { code: 1, oomKilled: false, at: '2026-01-01T00:00:00Z' };
    node.behaviour = (i) =>
      i.release === 2
        ? { state: 'backoff', restarts: 2, lastExit: exit, message: 'exited with status 1', address: null }
        : {};
    const { code, stderr } = await push();
    expect(code).not.toBe(0);
    expect(stderr).toContain('! [remote rejected] main -> main (deployment failed)');
    expect(stderr).toContain('remote: Nothing has changed: v1 still serves.');
    expect(await remoteMain()).toBe(good);
  });

  it('a second push waits for the first and is judged against the branch as it is then', async () => {
    const first = await git.commit({ a: '1' });
    const open = gate();
    const one = push();
    await started();
    const second = await git.commit({ a: '2' });
    const two = push(`${second}:refs/heads/main`);
    const rival = await GitClient.create();
    await rival.commit({ b: '1' });
    const three = rival.run('push', remote(), 'main');
    await waitFor(async () => expect(await pushesUnderWay()).toBe(3));
    open();
    const [a, b, c] = await Promise.all([one, two, three]);
    expect(a.code).toBe(0);
    expect(b.code).toBe(0);
    expect(b.stderr).toContain('remote: Waiting for build #1 of this app …');
    expect(c.code).not.toBe(0);
    expect(c.stderr).toContain('! [remote rejected] main -> main (stale: main has moved)');
    expect(await remoteMain()).toBe(second);
    expect((await builds()).map((build) => build.source.commit)).toEqual([second, first]);
    await rival.remove();
  });

  it('a pusher who saw the current commit may force another one', async () => {
    await git.commit({ a: '1' });
    await push();
    await git.ok('commit', '--amend', '--quiet', '-m', 'other');
    expect((await push()).code).not.toBe(0); // git's own check of the client
    expect((await push('--force', 'main')).code).toBe(0);
    expect(await remoteMain()).toBe((await git.ok('rev-parse', 'HEAD')).trim());
  });

  it('cannot be deleted', async () => {
    await git.commit({ a: '1' });
    await push();
    const { code, stderr } = await push(':main');
    expect(code).not.toBe(0);
    expect(stderr).toContain('! [remote rejected] main (main cannot be deleted)');
    expect(stderr).toContain(`remote: main is what ${slug} runs`);
    expect(await remoteMain()).not.toBe('');
  });

  it('goes on when the pusher goes away', async () => {
    const commit = await git.commit({ a: '1' });
    const open = gate();
    const child = systemExec.spawn('git', ['push', 'platform', 'main'], {
      cwd: git.folder,
      env: git.env,
      stdio: 'ignore',
    });
    await started();
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await ended;
    open();
    await waitFor(async () => expect(await remoteMain()).toBe(commit));
    await waitFor(async () => expect(await pushesUnderWay()).toBe(0));
  });

  it('says that submodules and LFS are not followed', async () => {
    await git.commit({
      '.gitmodules': '[submodule "x"]\n\tpath = x\n\turl = ./x\n',
      '.gitattributes': '*.bin filter=lfs\n',
    });
    const { stderr } = await push();
    expect(stderr).toContain('remote: This repository has submodules. They are not followed');
    expect(stderr).toContain('remote: This repository uses Git LFS. It is not followed');
  });

  it('a restart of the control plane fails the push, and the branch follows once the release is live', async () => {
    const commit = await git.commit({ a: '1' });
    const open = gate();
    const pushed = push();
    await started();
    await plane.restart();
    const { code, stderr } = await pushed;
    expect(code).not.toBe(0);
    expect(stderr).toContain('remote: The platform is restarting');
    expect(stderr).toContain('! [remote rejected] main -> main (platform restarting)');
    open();
    await waitFor(async () => expect(await remoteMain()).toBe(commit));
  });
});

describe('other refs', () => {
  it('a branch is stored, with a hint', async () => {
    const commit = await git.commit({ a: '1' });
    await git.ok('tag', 'v1');
    const { code, stderr } = await push('main:feature', 'v1');
    expect(code).toBe(0);
    expect(stderr).toContain('remote: Pushed feature. Only main deploys: git push platform feature:main');
    expect(stderr).toContain('remote: Stored the tag v1. Only main deploys.');
    expect(await git.ok('ls-remote', 'platform')).toContain(`${commit}\trefs/heads/feature`);
    expect(await builds()).toEqual([]);
    expect((await push(':feature')).code).toBe(0);
    expect(await git.ok('ls-remote', 'platform')).not.toContain('feature');
  });

  it('goes beside main in one push', async () => {
    const commit = await git.commit({ a: '1' });
    const { code } = await push('main', 'main:other');
    expect(code).toBe(0);
    expect(await git.ok('ls-remote', 'platform')).toBe(
      `${commit}\tHEAD\n${commit}\trefs/heads/main\n${commit}\trefs/heads/other\n`,
    );
  });

  it('refuses refs outside of branches and tags, folders in the way of main, and too long names', async () => {
    await git.commit({ a: '1' });
    expect((await push('main:refs/secret/x')).stderr).toContain('(only branches and tags are stored)');
    expect((await push('main:refs/heads/main/x')).stderr).toContain(
      '(main is a branch, so it cannot be a folder of branches)',
    );
    expect((await push(`main:refs/heads/${'x'.repeat(230)}`)).stderr).toContain(
      '(the name is longer than 200 bytes)',
    );
    expect(await git.ok('ls-remote', 'platform')).toBe('');
  });

  it('can be cloned and fetched again', async () => {
    await git.commit({ a: 'content' });
    await push();
    const copy = path.join(git.folder, '../copy');
    await git.ok('clone', '--quiet', remote(), copy);
    expect(await git.ok('-C', copy, 'show', 'HEAD:a')).toBe('content');
    await git.ok('-C', copy, '-c', 'protocol.version=0', 'fetch', '--quiet');
  });
});

describe('strangers', () => {
  it('without a token, or with a wrong one, are told how to log in', async () => {
    await git.commit({ a: '1' });
    const wrong = await git.run('push', remote('wrong-token'), 'main');
    expect(wrong.stderr).toContain('remote: this needs a valid API token');
    expect(wrong.stderr).toContain('remote: Log in with `gantry login`');
    expect(wrong.stderr).toContain('Authentication failed');
    const response = await fetch(`${plane.url}/git/${slug}.git/info/refs?service=git-receive-pack`);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Basic realm="gantry"');
    const machine = await git.run('push', remote(plane.tokens.node), 'main');
    expect(machine.code).not.toBe(0);
  });

  it('are told about an app that is not theirs just as about one that does not exist', async () => {
    const other = await otherOrganization('developer');
    await git.commit({ a: '1' });
    const foreign = await git.run('push', remote(other), 'main');
    expect(foreign.stderr).toContain(
      `remote: no app named ${slug}: create it with \`gantry apps create ${slug}\``,
    );
    const unknown = await git.run('push', remote(other, 'no-such-app'), 'main');
    expect(unknown.stderr).toContain('remote: no app named no-such-app');
  });

  it('may read but not push as a viewer', async () => {
    const { id } = await plane.app
      .get(PrismaService)
      .organization.findUniqueOrThrow({ where: { slug: 'main' } });
    const viewer = await memberToken('viewer', id);
    await git.commit({ a: '1' });
    expect((await git.run('ls-remote', remote(viewer))).code).toBe(0);
    const { stderr } = await git.run('push', remote(viewer), 'main');
    expect(stderr).toContain('remote: viewer');
    expect(stderr).toContain('may not deploy');
  });

  it.each([
    ['/git/../etc/info/refs?service=git-upload-pack', 404],
    ['/git/..%2f..%2fetc.git/info/refs?service=git-upload-pack', 404],
    ['/git/$(id).git/info/refs?service=git-upload-pack', 404],
    ['/git/SLUG.git/info/refs', 403],
    ['/git/SLUG.git/info/refs?service=git-upload-archive', 403],
    ['/git/SLUG.git/HEAD', 403],
    ['/git/SLUG.git/objects/info/packs', 403],
  ])('get nothing from %s', async (url, status) => {
    const response = await fetch(plane.url + url.replace('SLUG', slug), {
      headers: { authorization: `Bearer ${plane.tokens.admin}` },
    });
    expect(response.status).toBe(status);
  });

  it('cannot post from a web page, send garbage, or have a bomb unpacked', async () => {
    const headers = {
      authorization: `Bearer ${plane.tokens.admin}`,
      'content-type': 'application/x-git-receive-pack-request',
    };
    const post = (body: Buffer, more: Record<string, string> = {}) =>
      fetch(`${plane.url}/git/${slug}.git/git-receive-pack`, {
        method: 'POST',
        headers: { ...headers, ...more },
        body: new Uint8Array(body),
      });
    expect((await post(Buffer.from('0000'), { 'content-type': 'text/plain' })).status).toBe(400);
    expect((await post(Buffer.from('zzzzzzzz'))).status).toBe(400);
    expect((await post(Buffer.from('0000'), { 'content-encoding': 'br' })).status).toBe(501);
    const line = Buffer.concat([Buffer.from('fff0'), Buffer.alloc(0xfff0 - 4, 0x61)]);
    expect((await post(Buffer.concat(Array.from({ length: 5 }, () => line)))).status).toBe(413);
    expect(await builds()).toEqual([]);
  });
});

describe('limits', () => {
  const limits = () => plane.app.get<GitLimits>(GIT_LIMITS);
  const limited = async (change: Partial<GitLimits>, run: () => Promise<void>) => {
    const before = { ...limits() };
    Object.assign(limits(), change);
    try {
      await run();
    } finally {
      Object.assign(limits(), before);
    }
  };

  it('refuses a pack that is too large, and keeps nothing of it', async () => {
    await git.commit({ big: randomBytes(3_000_000) });
    await limited({ packBytes: 1_000_000 }, async () => {
      const { code, stderr } = await push();
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/pack exceeds maximum allowed size/);
    });
    expect(await builds()).toEqual([]);
    const { id } = await plane.app.get(PrismaService).app.findUniqueOrThrow({ where: { slug } });
    const objects = path.join(plane.services.folder, 'data/git', `${id}.git`, 'objects');
    expect((await readdir(objects)).sort()).toEqual(['info', 'pack']);
    expect((await push()).code).toBe(0);
  });

  it('refuses more pushes at once than it can hold', async () => {
    await git.commit({ a: '1' });
    const open = gate();
    const one = push();
    await started();
    await limited({ pushesPerApp: 1 }, async () => {
      const { stderr, code } = await push();
      expect(code).not.toBe(0);
      expect(stderr).toContain('remote: this app has 1 pushes under way already');
      expect(stderr).toContain('remote: Wait for one to end, then push again.');
    });
    open();
    expect((await one).code).toBe(0);
  });

  it('refuses more branches than it keeps', async () => {
    await git.commit({ a: '1' });
    await limited({ refs: 2 }, async () => {
      const { stderr } = await push('main:one', 'main:two', 'main:three');
      expect(stderr.match(/more than 2 branches and tags/g)).toHaveLength(1);
    });
    expect((await git.ok('ls-remote', 'platform')).trim().split('\n')).toHaveLength(2);
  });
});

async function pushesUnderWay(): Promise<number> {
  const { PushSessions } = await import('../../../apps/control-plane/src/git/push-sessions.ts');
  return plane.app.get(PushSessions).count;
}

async function otherOrganization(role: 'developer'): Promise<string> {
  const { id } = await plane.app
    .get(PrismaService)
    .organization.create({ data: { id: newId('organization'), slug: `org-${counter}` } });
  return memberToken(role, id);
}

async function memberToken(role: 'developer' | 'viewer', organizationId: string): Promise<string> {
  const secret = newId('token').padEnd(40, 'x');
  const prisma = plane.app.get(PrismaService);
  const user = await prisma.user.create({ data: { id: newId('user'), name: `${role}-${counter}` } });
  await prisma.membership.create({ data: { userId: user.id, organizationId, role } });
  await prisma.token.create({
    data: { id: newId('token'), userId: user.id, organizationId, name: 't', hash: hashToken(secret) },
  });
  return secret;
}
