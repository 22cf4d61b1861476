import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { SeenLines } from './follow-logs.ts';
import { parseTime } from './options.ts';
import { ConnectionBreak, FakeControlPlane } from './testing/fake-control-plane.ts';
import { aBuild, aLine, anInstance, idOf, NOW } from './testing/resources.ts';
import { TestCli } from './testing/test-cli.ts';

let cli: TestCli;
let fake: FakeControlPlane;

beforeEach(async () => {
  cli = await TestCli.create();
  fake = await FakeControlPlane.start();
  await cli.logins.save({ url: fake.url, token: fake.token });
});
afterEach(async () => {
  await fake.stop();
  await cli.remove();
});

/** Resolves once the CLI has printed `text`. */
let printed: (text: string) => Promise<void>;
let onStdout: (text: string) => void;

beforeEach(() => {
  let shown = '';
  const waiting: { text: string; resolve: () => void }[] = [];
  printed = (text) =>
    new Promise((resolve) => {
      waiting.push({ text, resolve });
      onStdout(shown);
    });
  onStdout = (text) => {
    shown = text;
    for (const { text: awaited, resolve } of waiting) if (shown.includes(awaited)) resolve();
  };
});

/** Follows until `last` was printed, then presses Ctrl-C. */
function followUntil(last: string, ...more: string[]) {
  const interrupt = new AbortController();
  return cli.run(['logs', '-f', '-a', 'hello', ...more], {
    signal: interrupt.signal,
    onStdout: (text) => {
      onStdout(text);
      if (text.includes(last)) interrupt.abort();
    },
  });
}

describe('gantry logs', () => {
  test('prints plain prefixes into a pipe, and the text as it is', async () => {
    fake.on(userEndpoints.logs, () => [aLine(0, 'hello'), aLine(1, '\u001b[31mred', { stream: 'platform' })]);
    const run = await cli.run(['logs', '-a', 'hello']);
    expect(run).toEqual({ code: 0, stdout: 'web.abc123 | hello\nweb.abc123 | \u001b[31mred\n', stderr: '' });
    expect(fake.callsOf(userEndpoints.logs)).toMatchObject([{ query: { tail: '100' } }]);
  });

  test('colours the prefix on a terminal, tames the text, and honours NO_COLOR', async () => {
    fake.on(userEndpoints.logs, () => [aLine(0, 'a\u001b[2Jb')]);
    const colored = await cli.run(['logs', '-a', 'hello', '-t'], { interactive: true });
    expect(colored.stdout).toBe(`\u001b[2m${NOW}\u001b[22m \u001b[32mweb.abc123 |\u001b[39m ab\n`);
    const plain = await cli.run(['logs', '-a', 'hello'], { interactive: true, env: { NO_COLOR: '1' } });
    expect(plain.stdout).toBe('web.abc123 | ab\n');
  });

  test('--json prints a document a line', async () => {
    fake.on(userEndpoints.logs, () => [aLine(0, 'one'), aLine(1, 'two')]);
    const { stdout } = await cli.run(['logs', '-a', 'hello', '--json']);
    const lines = stdout.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([aLine(0, 'one'), aLine(1, 'two')]);
  });

  test('asks for what the options say, and finds an instance by its short name', async () => {
    fake
      .on(userEndpoints.logs, () => [])
      .on(userEndpoints.listInstances, () => ({ items: [anInstance('abc123'), anInstance('abd')] }));
    const args = [
      'logs',
      '-a',
      'hello',
      '--tail',
      '5',
      '--service',
      'web',
      '--since',
      '2026-01-01T00:00:00Z',
    ];
    expect((await cli.run([...args, '--instance', 'web.abc123'])).code).toBe(0);
    expect(fake.callsOf(userEndpoints.logs)[0]?.query).toEqual({
      tail: '5',
      service: 'web',
      instance: idOf('ins', 'abc123'),
      since: '2026-01-01T00:00:00.000Z',
    });
    expect((await cli.run([...args, '--instance', 'ab'])).stderr).toContain('more than one instance');
    expect(await cli.run([...args, '--instance', 'zz'])).toMatchObject({ code: 5 });
  });

  test.each([
    ['--tail', '10001'],
    ['--tail', 'all'],
    ['--since', 'yesterday'],
    ['--service', 'Web'],
  ])('refuses %s %s', async (option, value) => {
    expect(await cli.run(['logs', '-a', 'hello', option, value])).toMatchObject({ code: 2 });
  });
});

describe('gantry logs -f', () => {
  test('goes on after the control plane was away, without a line lost or twice', async () => {
    const all = [
      aLine(0, 'old'),
      aLine(1, 'one'),
      aLine(2, 'same'),
      aLine(2, 'same'),
      aLine(3, 'four'),
      aLine(4, 'last'),
    ];
    let opened = 0;
    fake.on(userEndpoints.logs, async function* ({ query }) {
      opened++;
      if (opened === 1) {
        yield* all.slice(1, 3); // with --tail 2
        await printed('same');
        throw new ConnectionBreak();
      }
      if (opened === 2) throw new PlatformError('unavailable', 'starting');
      const since = query.since;
      if (since === undefined)
        throw new PlatformError('invalid_input', 'a resumed stream must say since when');
      yield* all.filter((line) => line.at >= since).slice(-query.tail);
      await new Promise<void>((resolve) => setTimeout(resolve, 100));
    });
    const run = await followUntil('last', '--tail', '2');
    expect(run.code).toBe(0);
    expect(run.stdout.match(/\| .*/g)).toEqual(['| one', '| same', '| same', '| four', '| last']);
    expect(run.stderr).toContain('reconnecting');
  });

  test('a stream that is merely cut is opened again in silence', async () => {
    let opened = 0;
    fake.on(userEndpoints.logs, () =>
      ++opened === 1 ? [aLine(0, 'one')] : [aLine(0, 'one'), aLine(9, 'two')],
    );
    const run = await followUntil('two');
    expect(run).toEqual({ code: 0, stdout: 'web.abc123 | one\nweb.abc123 | two\n', stderr: '' });
  });

  test('the first connection must work', async () => {
    fake.on(userEndpoints.logs, () => {
      throw new PlatformError('unavailable', 'not now');
    });
    expect(await cli.run(['logs', '-f', '-a', 'hello'])).toMatchObject({ code: 11 });
  });

  test('ends with its error when the app is gone after a break', async () => {
    let opened = 0;
    fake.on(userEndpoints.logs, () => {
      if (++opened > 1) throw new PlatformError('not_found', 'there is no app hello');
      return [aLine(0, 'one')];
    });
    expect(await cli.run(['logs', '-f', '-a', 'hello'])).toMatchObject({ code: 5 });
    expect(fake.callsOf(userEndpoints.logs)[0]?.query).toEqual({ tail: '100', follow: 'true' });
  });
});

describe('SeenLines', () => {
  test('resumes a little before the newest line, never before the first, nowhere without one', () => {
    const seen = new SeenLines();
    expect(seen.resumeFrom()).toBeUndefined();
    seen.add(aLine(10, 'a'));
    seen.add(aLine(12, 'b'));
    expect(seen.resumeFrom()).toBe(aLine(10, '').at);
    seen.add(aLine(60, 'c'));
    seen.add(aLine(58, 'late'));
    expect(seen.resumeFrom()).toBe(aLine(55, '').at);
    const again = seen.replay();
    expect([again.covers(aLine(58, 'late')), again.covers(aLine(58, 'late'))]).toEqual([true, false]);
    expect(again.covers(aLine(12, 'b'))).toBe(false); // not asked for again, so not remembered
  });
});

test('points in time', () => {
  const now = Date.parse(NOW);
  expect(parseTime('90s', now)).toBe('2026-11-05T11:58:30.000Z');
  expect(parseTime('2d', now)).toBe('2026-11-03T12:00:00.000Z');
  expect(parseTime('2026-01-31', now)).toBe('2026-01-31T00:00:00.000Z');
  expect(() => parseTime('5', now)).toThrow('no point in time');
  expect(() => parseTime('2026-99-99', now)).toThrow('no point in time');
});

describe('gantry builds', () => {
  test('log follows the newest build to its end, across a break', async () => {
    let opened = 0;
    fake
      .on(userEndpoints.listBuilds, () => ({ items: [aBuild(7)] }))
      .on(userEndpoints.buildLog, async function* () {
        opened++;
        yield { at: NOW, text: 'installing' };
        if (opened === 1) throw new ConnectionBreak();
        yield { at: NOW, text: 'done' };
        yield { at: NOW, status: 'failed' as const };
      });
    const run = await cli.run(['builds', 'log', '-a', 'hello']);
    expect(run).toMatchObject({ code: 0, stdout: 'installing\ndone\n' });
    expect(fake.callsOf(userEndpoints.buildLog)[0]?.params).toEqual({ app: 'hello', number: '7' });
  });

  test('list and info', async () => {
    const failed = aBuild(8, {
      status: 'failed',
      error: 'npm ci ended with 1',
      finishedAt: null,
      startedAt: null,
    });
    fake
      .on(userEndpoints.listBuilds, () => ({ items: [failed, aBuild(7)] }))
      .on(userEndpoints.showBuild, ({ params }) => aBuild(params.number));
    const { stdout } = await cli.run(['builds', '-a', 'hello']);
    expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).toMatchObject([
      ['BUILD', 'STATUS', 'COMMIT', 'TOOK', 'CREATED', 'ERROR'],
      ['#8', 'failed', '0123456789', '-', expect.any(String), 'npm ci ended with 1'],
      ['#7', 'succeeded', '0123456789', '9s', expect.any(String)],
      [''],
    ]);
    expect(JSON.parse((await cli.run(['builds', 'info', '7', '-a', 'hello', '--json'])).stdout)).toEqual(
      aBuild(7),
    );
    expect(await cli.run(['builds', 'info', 'x', '-a', 'hello'])).toMatchObject({ code: 2 });
    fake.on(userEndpoints.listBuilds, () => ({ items: [] }));
    expect(await cli.run(['builds', 'log', '-a', 'hello'])).toMatchObject({ code: 5 });
  });
});
