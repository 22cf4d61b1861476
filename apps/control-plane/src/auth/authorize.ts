import type { Audience, Permission } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Actor, UserActor } from './actor.ts';

const ROLE_PERMISSIONS: Record<UserActor['role'], ReadonlySet<Permission>> = {
  viewer: new Set<Permission>(['read']),
  developer: new Set<Permission>(['read', 'deploy', 'configure']),
  owner: new Set<Permission>(['read', 'deploy', 'configure', 'destroy']),
};

/**
 * The one place that decides what a caller may do. Which resources a person sees is decided by the organization of the
 * token: repositories look only inside it, so another tenant's resource is `not_found`, never `forbidden`.
 */
export function assertAllowed(
  actor: Actor | undefined,
  needed: { audience: Audience; permission?: Permission | undefined },
): void {
  if (needed.audience === 'none') return;
  if (!actor) throw unauthenticated();
  if (actor.kind !== needed.audience)
    throw new PlatformError('forbidden', `this is for a ${needed.audience}, not for a ${actor.kind}`);
  if (actor.kind !== 'user' || !needed.permission) return;
  const granted =
    needed.permission === 'operate'
      ? actor.user.operator
      : ROLE_PERMISSIONS[actor.role].has(needed.permission);
  if (!granted) {
    throw new PlatformError(
      'forbidden',
      `${actor.user.name} (${actor.role} of ${actor.organization.slug}) may not ${needed.permission}`,
      {
        hint: 'Ask an owner of the organization for the role.',
      },
    );
  }
}

export function unauthenticated(): PlatformError {
  return new PlatformError('unauthenticated', 'this needs a valid API token', {
    hint: 'Log in with `gantry login`, or send the header `Authorization: Bearer TOKEN`.',
  });
}
