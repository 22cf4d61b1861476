import { expect, it } from 'vitest';
import { KeyedLock } from './keyed-lock.ts';

it('runs one key’s tasks in turn, other keys’ at once, and goes on after a failure', async () => {
  const lock = new KeyedLock();
  const done: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = lock.run('a', async () => {
    await gate.promise;
    done.push('a1');
    throw new Error('failed');
  });
  const second = lock.run('a', async () => void done.push('a2'));
  await lock.run('b', async () => void done.push('b'));
  expect(done).toEqual(['b']);
  gate.resolve();
  await expect(first).rejects.toThrow('failed');
  await second;
  expect(done).toEqual(['b', 'a1', 'a2']);
  await lock.idle();
});
