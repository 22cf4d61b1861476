import { afterAll, beforeAll, expect, it } from 'vitest';
import { userEndpoints } from '#libs/contract';
import { PushSessions } from '../../../apps/control-plane/src/git/push-sessions.ts';
import { startControlPlane, type TestControlPlane } from './control-plane.ts';
import { GitClient } from './git-client.ts';
import { deltaBombPush } from './hostile-pack.ts';

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startControlPlane();
  await plane.user.call(userEndpoints.createApp, { body: { slug: 'bomb' } });
});
afterAll(() => plane.stop());

async function push(body: Buffer): Promise<string> {
  const response = await fetch(`${plane.url}/git/bomb.git/git-receive-pack`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${plane.tokens.admin}`,
      'content-type': 'application/x-git-receive-pack-request',
    },
    body: new Uint8Array(body),
  });
  expect(response.status).toBe(200);
  return Buffer.from(await response.arrayBuffer()).toString('latin1');
}

it('takes a small pack whose objects are small', async () => {
  expect(await push(deltaBombPush('refs/heads/small', 3).body)).toContain('unpack ok');
});

it('gives git no more memory than its limit, whatever a pack of a few kilobytes unpacks to', async () => {
  const { body } = deltaBombPush('refs/heads/large', 1_200);
  expect(body.length).toBeLessThan(20_000);
  const answer = await push(body);
  expect(answer).toMatch(/out of memory/i);
  expect(answer).toContain('ng refs/heads/large');
  const git = await GitClient.create();
  try {
    const url = `${plane.url.replace('//', `//x:${plane.tokens.admin}@`)}/git/bomb.git`;
    expect(await git.ok('ls-remote', url)).not.toContain('large');
  } finally {
    await git.remove();
  }
});

it('keeps room for others when one organization fills its share of pushes', () => {
  const sessions = new PushSessions();
  const limits = { pushes: 10, pushesPerOrganization: 3, pushesPerApp: 2 };
  const app = (id: string, organizationId: string) => ({ id, slug: id, organizationId });
  const actor = {
    kind: 'user' as const,
    user: { id: 'u', name: 'eve', operator: false },
    organization: { id: 'evil', slug: 'evil' },
    role: 'owner' as const,
  };
  for (const id of ['a', 'b', 'c']) sessions.open(app(id, 'evil'), actor);
  expect(() => sessions.assertRoom(app('d', 'evil'), limits)).toThrow('your organization has 3 pushes');
  expect(() => sessions.assertRoom(app('e', 'good'), limits)).not.toThrow();
});
