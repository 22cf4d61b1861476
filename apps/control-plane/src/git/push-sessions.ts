import { timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { PlatformError } from '#libs/errors';
import { randomSecret, randomText } from '#libs/host';
import type { UserActor } from '../auth/actor.ts';
import type { GitLimits } from './limits.ts';

export interface PushedApp {
  id: string;
  slug: string;
  organizationId: string;
}

type PushLimits = Pick<GitLimits, 'pushes' | 'pushesPerOrganization' | 'pushesPerApp'>;

/** One push that git is receiving. The secret lets its hook, and nobody else, speak for it, once. */
export interface PushSession {
  readonly id: string;
  readonly secret: string;
  readonly app: PushedApp;
  readonly actor: UserActor;
}

/** The pushes under way in this process, and how many there may be. */
@Injectable()
export class PushSessions {
  readonly #open = new Map<string, { session: PushSession; claimed: boolean }>();

  get count(): number {
    return this.#open.size;
  }

  /** Throws `limit_exceeded` when there are too many pushes already. */
  assertRoom(app: PushedApp, limits: PushLimits): void {
    const apps = [...this.#open.values()].map(({ session }) => session.app);
    const ofApp = apps.filter(({ id }) => id === app.id).length;
    const ofTenant = apps.filter(({ organizationId }) => organizationId === app.organizationId).length;
    const full = [
      ofApp >= limits.pushesPerApp && `this app has ${ofApp}`,
      ofTenant >= limits.pushesPerOrganization && `your organization has ${ofTenant}`,
      apps.length >= limits.pushes && `the platform has ${apps.length}`,
    ].find((whose) => whose !== false);
    if (full === undefined) return;
    throw new PlatformError('limit_exceeded', `${full} pushes under way already, which is the limit`, {
      hint: 'Wait for one to end, then push again.',
    });
  }

  open(app: PushedApp, actor: UserActor): PushSession {
    const session = { id: randomText(20), secret: randomSecret(), app, actor };
    this.#open.set(session.id, { session, claimed: false });
    return session;
  }

  close(session: PushSession): void {
    this.#open.delete(session.id);
  }

  /** The session that this secret belongs to; undefined when there is none, or it was claimed before. */
  claim(id: string, secret: string): PushSession | undefined {
    const entry = this.#open.get(id);
    const expected = Buffer.from(entry?.session.secret ?? '');
    const given = Buffer.from(secret);
    if (!entry || entry.claimed || given.length !== expected.length || !timingSafeEqual(given, expected))
      return undefined;
    entry.claimed = true;
    return entry.session;
  }
}
