import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock, systemExec } from '#libs/host';
import { silentLogger } from '#libs/log';
import { Child, type ChildSpec } from './child.ts';
import { LogFile } from './log-file.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'gt-child-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function make(script: string, spec: Partial<ChildSpec> = {}, pauses: number[] = []): Child {
  const clock = {
    ...systemClock,
    sleep: async (ms: number) => {
      pauses.push(ms);
    },
  };
  return new Child(
    {
      name: 'part',
      command: () => ({ file: process.execPath, args: ['-e', script], env: {} }),
      ready: 'message',
      readyTimeoutMs: 10_000,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 5_000,
      orphanSignal: 'TERM',
      firstAttempts: 1,
      ...spec,
    },
    {
      exec: systemExec,
      clock,
      log: silentLogger(),
      note: () => {},
      logsDir: folder,
      pidsDir: path.join(folder, 'pids'),
    },
  );
}

const SERVES = 'process.send("ready"); setInterval(() => {}, 1000);';

describe('Child', () => {
  it('is up once it says so, and gone after stop', async () => {
    const child = make(SERVES);
    await child.start();
    const { pid } = child.status();
    expect(child.status()).toMatchObject({ state: 'up', restarts: 0 });
    await child.stop();
    expect(child.status()).toMatchObject({ state: 'stopped', pid: null });
    expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH');
  });

  it('tells why the first start failed, with its last words', async () => {
    await expect(make('console.error("no such luck"); process.exitCode = 3').start()).rejects.toThrow(
      /part ended \(exit code 3\), saying:\n {2}no such luck/,
    );
  });

  it('tries the first start as often as told', async () => {
    const pauses: number[] = [];
    await expect(make('process.exit(1)', { firstAttempts: 4 }, pauses).start()).rejects.toThrow(
      'exit code 1',
    );
    expect(pauses).toEqual([100, 200, 400]);
  });

  it('starts it again when it dies', async () => {
    const child = make(SERVES);
    await child.start();
    const { pid } = child.status();
    process.kill(pid ?? 0, 'SIGKILL');
    await vi.waitFor(() => expect(child.status()).toMatchObject({ state: 'up', restarts: 1 }), 10_000);
    expect(child.status().pid).not.toBe(pid);
    expect(child.status().lastEnd).toContain('killed by SIGKILL');
    await child.stop();
  });

  it('kills what does not get ready, and what does not end', async () => {
    const never = make('setInterval(() => {}, 1000)', { readyTimeoutMs: 300 });
    await expect(never.start()).rejects.toThrow('part was not ready within 0.3 s and was killed');
    const stubborn = make(`process.on("SIGTERM", () => {}); ${SERVES}`, { stopTimeoutMs: 200 });
    await stubborn.start();
    await stubborn.stop();
    expect(stubborn.status().state).toBe('stopped');
  });

  it('can be stopped while it starts', async () => {
    const child = make('setInterval(() => {}, 1000)');
    const started = child.start();
    started.catch(() => {});
    await child.stop();
    await expect(started).rejects.toThrow('told to stop');
  });
});

describe('LogFile', () => {
  it('keeps one old file and no more than the limit', () => {
    const file = path.join(folder, 'x.log');
    const log = new LogFile(file, 100);
    for (let i = 0; i < 10; i++) log.write(Buffer.from(`${i}`.repeat(40)));
    log.close();
    log.write(Buffer.from('late'));
    expect(readFileSync(file, 'utf8')).toBe('8'.repeat(40) + '9'.repeat(40));
    expect(readFileSync(`${file}.1`, 'utf8')).toBe('6'.repeat(40) + '7'.repeat(40));
  });
});
