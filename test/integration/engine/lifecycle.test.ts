import { readFile, stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, type Fixture, makeFixture } from './engine-fixture.ts';

let f: Fixture;
beforeAll(async () => {
  f = await makeFixture();
});
afterAll(() => f?.dispose());

describe('a container’s life', () => {
  it('runs, logs both streams in order with stamps, and tells its exit code', async () => {
    const seen: [string, number][] = [];
    const stopListening = f.engine.onExit((id, exit) => seen.push([id, exit.code]));
    const created = await f.engine.create(
      f.spec('inst_log', 'echo out; echo err >&2; printf partial; exit 7'),
    );
    expect(created).toMatchObject({ status: 'created', address: null, startedAtMs: null, exit: null });
    expect(created.pid).toBeGreaterThan(1);
    expect(await readFile(created.logFile, 'utf8').catch(() => '')).toBe('');
    expect((await f.engine.start('inst_log')).startedAtMs).toBeGreaterThan(0);
    expect(await f.engine.wait('inst_log')).toMatchObject({ code: 7, oomKilled: false });
    stopListening();
    expect(seen).toEqual([['inst_log', 7]]);
    const lines = (await readFile(created.logFile, 'utf8')).trimEnd().split('\n');
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) stdout F out$/);
    expect(lines.some((line) => line.endsWith(' stderr F err'))).toBe(true);
    expect(lines.some((line) => / stdout [PF] partial$/.test(line))).toBe(true);
    expect(f.engine.get('inst_log')).toMatchObject({ status: 'exited', pid: null });
    await f.engine.remove('inst_log');
    expect(f.engine.get('inst_log')).toBeUndefined();
    await expect(stat(created.logFile)).rejects.toThrow('ENOENT');
  });

  it('catches the exit of processes that live a millisecond', async () => {
    for (let i = 0; i < 10; i++) {
      const id = `inst_short_${i}`;
      const spec = f.spec(id, '', { argv: ['/bin/true'] });
      expect((await f.run(spec)).code).toBe(0);
      await f.engine.remove(id);
    }
  });

  it('gives an app that handles no signal an init, so that SIGTERM ends it at once and orphans are reaped', async () => {
    await f.engine.create(f.spec('inst_init', 'echo up; exec sleep 1000', { init: true }));
    await f.engine.start('inst_init');
    await eventually('the app', async () => (await f.output('inst_init')).includes('up') || undefined);
    expect(await f.engine.stop('inst_init', 60_000)).toMatchObject({ code: 143 });
    await f.engine.remove('inst_init');
    expect((await f.run(f.spec('inst_code', 'exit 5', { init: true }))).code).toBe(5);
    await f.engine.remove('inst_code');
  });

  it('stops by the signal when the app listens, and by SIGKILL after the grace time when it does not', async () => {
    await f.engine.create(
      f.spec('inst_polite', 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.05; done'),
    );
    await f.engine.start('inst_polite');
    await eventually('the trap', async () => (await f.output('inst_polite')).includes('up') || undefined);
    expect(await f.engine.stop('inst_polite', 10_000)).toMatchObject({ code: 3 });
    expect(await f.output('inst_polite')).toContain('bye');

    await f.engine.create(f.spec('inst_deaf', 'trap "" TERM; echo up; while :; do sleep 0.05; done'));
    await f.engine.start('inst_deaf');
    await eventually('the trap', async () => (await f.output('inst_deaf')).includes('up') || undefined);
    const before = Date.now();
    expect(await f.engine.stop('inst_deaf', 300)).toMatchObject({ code: 137, oomKilled: false });
    expect(Date.now() - before).toBeGreaterThanOrEqual(290);
    expect(await f.engine.stop('inst_deaf', 300)).toMatchObject({ code: 137 });
    await f.engine.remove('inst_polite');
    await f.engine.remove('inst_deaf');
  });

  it('passes signals on, and reports the signal that ended the process', async () => {
    await f.engine.create(f.spec('inst_sig', 'trap "echo hup" HUP; echo up; while :; do sleep 0.05; done'));
    await f.engine.start('inst_sig');
    await eventually('the trap', async () => (await f.output('inst_sig')).includes('up') || undefined);
    await f.engine.kill('inst_sig', 'SIGHUP');
    await eventually('the answer', async () => (await f.output('inst_sig')).includes('hup') || undefined);
    await expect(f.engine.kill('inst_sig', 'SIGNONE')).rejects.toMatchObject({ code: 'invalid_input' });
    await f.engine.kill('inst_sig', 'KILL');
    expect(await f.engine.wait('inst_sig')).toMatchObject({ code: 137 });
    await expect(f.engine.kill('inst_sig', 'TERM')).rejects.toMatchObject({ code: 'conflict' });
    await f.engine.remove('inst_sig');
  });

  it('removes what runs, what was only created, and what is not there', async () => {
    await f.engine.create(f.spec('inst_a', 'sleep 1000'));
    await f.engine.start('inst_a');
    const waiting = f.engine.wait('inst_a');
    await f.engine.create(f.spec('inst_b', 'sleep 1000'));
    await Promise.all([f.engine.remove('inst_a'), f.engine.remove('inst_b'), f.engine.remove('inst_none')]);
    expect(await waiting).toMatchObject({ code: 137 });
    expect(f.engine.list()).toEqual([]);
  });

  it('keeps the log within its limit', async () => {
    const spec = f.spec('inst_loud', 'for i in {1..20000}; do echo "line $i of a very loud program"; done', {
      logMaxBytes: 64 << 10,
    });
    await f.engine.create(spec);
    await f.engine.start('inst_loud');
    await f.engine.wait('inst_loud');
    const log = await readFile(f.engine.get('inst_loud')?.logFile ?? '', 'utf8');
    expect(log.length).toBeLessThanOrEqual(64 << 10);
    expect(log).toContain('line 20000 of');
    await f.engine.remove('inst_loud');
  });
});

describe('what a container is given', () => {
  it('has its environment, working folder, host name, user and groups', async () => {
    const spec = f.spec('inst_env', 'echo "$GREETING|$HOME|$PWD|$(cat /etc/hostname)"; id', {
      env: { GREETING: 'hello there' },
      workingDir: '/workspace',
    });
    const { output } = await f.run(spec);
    expect(output).toContain('hello there|/workspace|/workspace|web-1');
    expect(output).toContain('uid=1000(app) gid=1000(app) groups=1000(app),1234(extra)');
    await f.engine.remove('inst_env');
    expect((await f.run(f.spec('inst_uid', 'id', { user: '4321:77' }))).output).toContain(
      'uid=4321 gid=77 groups=77',
    );
    await f.engine.remove('inst_uid');
  });

  it('refuses what cannot run, says why, and leaves nothing of it', async () => {
    const refused = async (id: string, more: object) => f.engine.create(f.spec(id, 'true', more));
    await expect(refused('inst_x', { argv: ['/bin/nothing'] })).rejects.toMatchObject({
      code: 'invalid_input',
    });
    await expect(refused('inst_x', { argv: ['/etc/passwd'] })).rejects.toMatchObject({
      code: 'invalid_input',
    });
    await expect(refused('inst_x', { user: 'nobody-here' })).rejects.toThrow('no user "nobody-here"');
    await expect(refused('inst_x', { user: '70000' })).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(refused('../x', {})).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(refused('inst_x', { layers: [`sha256:${'0'.repeat(64)}`] })).rejects.toMatchObject({
      code: 'not_found',
    });
    const gone = [{ source: `${f.root}/gone`, target: '/x', ownership: 'owned' }];
    await expect(refused('inst_x', { mounts: gone })).rejects.toMatchObject({ code: 'not_found' });
    expect(f.engine.list()).toEqual([]);
    await expect(f.engine.start('inst_x')).rejects.toMatchObject({ code: 'not_found' });
    expect((await f.run(f.spec('inst_x', 'exit 0'))).code).toBe(0);
    await expect(refused('inst_x', {})).rejects.toMatchObject({ code: 'conflict' });
    await expect(f.engine.start('inst_x')).rejects.toMatchObject({ code: 'conflict' });
    await f.engine.remove('inst_x');
  });
});
