import { describe, expect, it } from 'vitest';
import { resolveUserIn } from './resolve-user.ts';

const PASSWD =
  'root:x:0:0:root:/root:/bin/sh\n\nbroken\napp:x:1000:1001::/home/app:/bin/sh\nhuge:x:4294967294:1::/:/\n';
const GROUP = 'root:x:0:\nstaff:x:50:app,other\nbig:x:70000:app\napp:x:1001:\n';
const resolve = (user: string) => resolveUserIn(PASSWD, GROUP, user);

describe('resolveUserIn', () => {
  it('takes names, numbers and nothing at all', () => {
    expect(resolve('app')).toEqual({ uid: 1000, gid: 1001, additionalGids: [50], home: '/home/app' });
    expect(resolve('1000')).toEqual({ uid: 1000, gid: 1001, additionalGids: [50], home: '/home/app' });
    expect(resolve('')).toEqual({ uid: 0, gid: 0, additionalGids: [], home: '/root' });
    expect(resolve('4242')).toEqual({ uid: 4242, gid: 0, additionalGids: [], home: '/' });
  });

  it('takes a group beside the user, and then no other group', () => {
    expect(resolve('app:staff')).toMatchObject({ uid: 1000, gid: 50, additionalGids: [] });
    expect(resolve('7:8')).toEqual({ uid: 7, gid: 8, additionalGids: [], home: '/' });
  });

  it('refuses names that are not there and ids that a container cannot have', () => {
    for (const user of ['nobody', 'broken', 'huge', 'app:none', '65536', '1:65536', '-1']) {
      expect(() => resolve(user), user).toThrow(expect.objectContaining({ code: 'invalid_input' }));
    }
  });
});
