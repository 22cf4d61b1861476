import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../platform.ts';
import { exitOf, isRunning, Supervised, until } from './supervised.ts';

let platform: Supervised;
beforeEach(async () => {
  platform = await Supervised.create();
});
afterEach(async () => {
  await platform.verb('down');
  expect(await platform.processes()).toEqual([]);
});

describe('up', () => {
  it('starts PostgreSQL and Redis as unprivileged users, migrates, and says where everything is', async () => {
    const { code, stdout, stderr } = await platform.verb('up', ['--detach']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`http://127.0.0.1:${platform.apiPort}`);
    expect(stdout).toContain(`http://APP.gantry.localhost:${platform.httpPort}/`);
    expect(stdout).toContain(`gantry login --data ${platform.dataDir}`);
    expect(stdout).toContain('git push platform main');

    const users = await Promise.all(
      ['postgres', 'redis'].map(async (name) => {
        const status = await readFile(`/proc/${await platform.pidOf(name)}/status`, 'utf8');
        return /^Uid:\t(\d+)/m.exec(status)?.[1];
      }),
    );
    expect(users).not.toContain('0');
    expect(new Set(users).size).toBe(2);

    const tables = await platform.query(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`);
    expect(tables.map((row) => row.tablename)).toContain('App');
    expect(await platform.query('SHOW listen_addresses')).toEqual([{ listen_addresses: '' }]);
    expect(await platform.query('SHOW fsync')).toEqual([{ fsync: 'on' }]);
    expect(await platform.redis('CONFIG', 'GET', 'maxmemory-policy')).toContain('noeviction');
    expect(await platform.redis('CONFIG', 'GET', 'appendonly')).toContain('yes');
  });

  it('leaves secrets and the admin file to root only', async () => {
    await platform.up();
    for (const file of ['secrets.json', 'admin.json', 'run/up.sock']) {
      expect((await stat(path.join(platform.dataDir, file))).mode & 0o777).toBe(0o600);
    }
    const admin = JSON.parse(await readFile(path.join(platform.dataDir, 'admin.json'), 'utf8'));
    expect(admin).toMatchObject({
      url: `http://127.0.0.1:${platform.apiPort}`,
      domain: 'gantry.localhost',
      httpPort: platform.httpPort,
    });
    expect(admin.token.length).toBeGreaterThan(31);
  });

  it('says where the platform is when it runs already', async () => {
    const first = await platform.up();
    const { code, stdout } = await platform.verb('up');
    expect(code).toBe(0);
    expect(stdout).toContain(`already runs in ${platform.dataDir} (pid ${first.pid}`);
    expect(stdout).toContain(`http://127.0.0.1:${platform.apiPort}`);
    expect((await platform.status()).pid).toBe(first.pid);
  });

  it('shows why a part does not start, and leaves nothing behind', async () => {
    const { code, stderr } = await platform.verb('up', ['--detach'], { TEST_FAILING_PART: 'control-plane' });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/control-plane ended \(exit code 3\)/);
    expect(stderr).toContain('the words before the end');
    expect(stderr).toContain('logs/control-plane.log');
    expect(await platform.processes()).toEqual([]);
  });

  it('takes the database and Redis that it is given', async () => {
    const given = await Supervised.create();
    await given.up();
    try {
      const env = {
        DATABASE_URL: given.databaseUrl,
        REDIS_URL: `unix://${given.dataDir}/run/redis/redis.sock`,
      };
      expect((await platform.verb('up', ['--detach'], env)).code).toBe(0);
      const names = (await platform.status()).children.map((child) => child.name).sort();
      expect(names).toEqual(['agent', 'control-plane', 'router']);
      expect(await (await fetch(`http://127.0.0.1:${platform.apiPort}/`)).json()).toMatchObject(env);
      await platform.verb('down');
    } finally {
      await given.verb('down');
    }
  });
});

describe('bad input gets one clear line', () => {
  it.each([
    ['--http-port', (p: Supervised) => p.httpPort],
    ['--api-port', (p: Supervised) => p.apiPort],
  ])('the port of %s is in use', async (option, portOf) => {
    const port = portOf(platform);
    const taken = createServer().listen(port, '127.0.0.1');
    await until(async () => taken.listening);
    try {
      const { code, stderr } = await platform.verb('up');
      expect(code).toBe(6);
      expect(stderr).toContain(`port ${port} on 127.0.0.1 is in use`);
      expect(stderr).toContain(option);
    } finally {
      taken.close();
    }
  });

  it('the data folder cannot be made', async () => {
    const file = path.join(await temporaryFolder('gt-file-'), 'file');
    await writeFile(file, '');
    const { code, stderr } = await platform.verb('up', ['--data', path.join(file, 'data')]);
    expect(code).toBe(2);
    expect(stderr).toContain(`cannot use ${file}/data as the data folder`);
    const readOnly = await platform.verb('up', ['--data', '/proc/gantry']);
    expect(readOnly.code).toBe(2);
    expect(readOnly.stderr).toContain('cannot use /proc/gantry as the data folder');
  });

  it('other users cannot reach the data folder', async () => {
    const closed = await temporaryFolder('gt-closed-');
    await chmod(closed, 0o700);
    const { code, stderr } = await platform.verb('up', ['--data', path.join(closed, 'data')]);
    expect(code).toBe(2);
    expect(stderr).toContain(`cannot pass through ${closed}`);
    expect(stderr).toContain(`chmod o+x ${closed}`);
  });

  it('the data folder is somebody else’s', async () => {
    await writeFile(path.join(platform.dataDir, 'letter.txt'), 'dear');
    const { code, stderr } = await platform.verb('up');
    expect(code).toBe(2);
    expect(stderr).toContain('holds files that are not of a Gantry platform');
  });

  it('the path is too long for a unix socket', async () => {
    const long = path.join(platform.dataDir, 'a'.repeat(80));
    const { code, stderr } = await platform.verb('up', ['--data', long]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/too long for the unix sockets inside \(at most \d+ bytes\)/);
  });

  it('not root', async () => {
    await mkdir(path.join(platform.dataDir, 'run'));
    const { code, stderr } = await platform.asNobody('up');
    expect(code).toBe(4);
    expect(stderr).toContain('must run as root');
  });
});

describe('kill -9', () => {
  it('of PostgreSQL and Redis loses nothing that was acknowledged, and both come back', async () => {
    await platform.up();
    await platform.query('CREATE TABLE kept (n int)');
    for (let n = 0; n < 3; n++) {
      await platform.query(`INSERT INTO kept VALUES (${n})`);
      await platform.redis('SET', `kept:${n}`, String(n));
      await platform.kill('postgres');
      await platform.kill('redis');
    }
    expect(await platform.query('SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 3 }]);
    expect(await platform.redis('MGET', 'kept:0', 'kept:1', 'kept:2')).toBe('0\n1\n2');
    const { state, children } = await platform.status();
    expect(state).toBe('ready');
    expect(children.find((child) => child.name === 'postgres')?.restarts).toBe(3);
  });

  it('of the router, again and again, refuses no connection', async () => {
    await platform.up();
    const seen = new Set<string>();
    const failures: unknown[] = [];
    let ended = false;
    const traffic = (async () => {
      while (!ended) {
        // a request that the killed router had accepted is lost with it, a connection must never be refused
        await platform.askRouter().then(
          (pid) => seen.add(pid),
          (error: Error) => /REFUSED/.test(String(error.cause)) && failures.push(error.cause),
        );
      }
    })();
    for (let i = 0; i < 4; i++) await platform.kill('router');
    ended = true;
    await traffic;
    expect(failures).toEqual([]);
    expect(seen.size).toBeGreaterThan(3);
  });

  it('of the supervisor ends its children, keeps the instance, and the next up takes over', async () => {
    const { pid } = await platform.up();
    const instance = await platform.instancePid();
    await platform.query('CREATE TABLE kept (n int)');
    process.kill(pid, 'SIGKILL');
    await platform.up();
    expect(await platform.instancePid()).toBe(instance);
    expect(await isRunning(instance)).toBe(true);
    expect(await platform.query('SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 0 }]);
  });

  it('of the supervisor, then down: nothing is left, the instance neither', async () => {
    const { pid } = await platform.up();
    const instance = await platform.instancePid();
    process.kill(pid, 'SIGKILL');
    const { code } = await platform.verb('down');
    expect(code).toBe(0);
    expect(await isRunning(instance)).toBe(false);
    expect(await platform.processes()).toEqual([]);
  });
});

describe('the end', () => {
  it('down stops all in order, and the data is there at the next up', async () => {
    const { pid } = await platform.up();
    const instance = await platform.instancePid();
    await platform.query('CREATE TABLE kept (n int)');
    const { code, stdout } = await platform.verb('down');
    expect(code).toBe(0);
    const order = [
      'router drained',
      'control plane stopped',
      'agent stopped',
      'instances stopped',
      'Redis stopped',
      'PostgreSQL stopped',
    ];
    expect(order.map((step) => stdout.indexOf(step))).toEqual(
      order.map((step) => stdout.indexOf(step)).sort((a, b) => a - b),
    );
    expect(stdout).toContain('PostgreSQL stopped');
    expect(await isRunning(pid)).toBe(false);
    expect(await isRunning(instance)).toBe(false);
    expect(await platform.processes()).toEqual([]);
    await platform.up();
    expect(await platform.query('SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 0 }]);
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    '%s stops a platform in the foreground',
    async (signal) => {
      const up = platform.foreground();
      await until(async () => (await platform.verb('status')).code === 0);
      up.kill(signal);
      expect(await exitOf(up)).toBe(0);
      expect(await platform.processes()).toEqual([]);
    },
  );

  it('a stop in the middle of the start leaves nothing', async () => {
    const up = platform.foreground();
    await until(async () => (await platform.verb('status')).stdout.includes('starting'));
    up.kill('SIGTERM');
    expect(await exitOf(up)).toBe(0);
    expect(await platform.processes()).toEqual([]);
  });

  it('status tells how it is by its exit code too', async () => {
    expect((await platform.verb('status')).code).toBe(11);
    await platform.up();
    expect((await platform.verb('status')).code).toBe(0);
    await platform.verb('down');
    const after = await platform.verb('status');
    expect(after.code).toBe(11);
    expect(after.stdout).toContain(`No platform runs in ${platform.dataDir}`);
  });
});

describe('two platforms on one machine', () => {
  it('know nothing of each other', async () => {
    const other = await Supervised.create();
    await Promise.all([platform.up(), other.up()]);
    try {
      const ids = await Promise.all(
        [platform, other].map(
          async ({ dataDir }) =>
            JSON.parse(await readFile(path.join(dataDir, 'installation.json'), 'utf8')).id,
        ),
      );
      expect(ids[0]).not.toBe(ids[1]);
      await platform.redis('SET', 'mine', '1');
      expect(await other.redis('GET', 'mine')).toBe('');
      await platform.verb('down');
      expect((await other.status()).state).toBe('ready');
      expect(await other.askRouter()).toBe(String(await other.pidOf('router')));
    } finally {
      await other.verb('down');
    }
    expect(await other.processes()).toEqual([]);
  });
});
