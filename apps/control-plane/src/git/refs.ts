import type { PushCommand } from './push-protocol.ts';

/** The branch that deploys. */
export const MAIN_REF = 'refs/heads/main';

export function isZero(oid: string): boolean {
  return /^0+$/.test(oid);
}

/**
 * What a push of the deploying branch comes to, judged when its turn has come. `seen` is what the pusher took the
 * branch to be, undefined for none; `current` what it is now. A pusher who saw the current commit has decided
 * knowingly, forced or not; one who did not may only add to it.
 */
export function judgeMain(push: {
  seen: string | undefined;
  wanted: string;
  current: string | undefined;
  descends: boolean;
}) {
  if (push.wanted === push.current) return 'same';
  if (push.seen === push.current || push.descends) return 'deploy';
  return 'stale';
}

/** Why git may not store this ref, or undefined. Names are well-formed already: git has checked them. */
export function refusalOf(command: PushCommand, limits: { refNameBytes: number }): string | undefined {
  const { ref } = command;
  if (isZero(command.new)) return undefined;
  if (Buffer.byteLength(ref) > limits.refNameBytes)
    return `the name is longer than ${limits.refNameBytes} bytes`;
  if (!/^refs\/(heads|tags)\//.test(ref)) return 'only branches and tags are stored';
  if (ref.startsWith(`${MAIN_REF}/`)) return 'main is a branch, so it cannot be a folder of branches';
  return undefined;
}

/** What a pusher of another branch or tag is told. */
export function hintFor(command: PushCommand): string | undefined {
  if (isZero(command.new)) return undefined;
  const name = command.ref.replace(/^refs\/(heads|tags)\//, '');
  if (command.ref.startsWith('refs/tags/')) return `Stored the tag ${name}. Only main deploys.`;
  return `Pushed ${name}. Only main deploys: git push platform ${name}:main`;
}
