import type { Route } from '#libs/contract';
import { RequestError, type RequestErrorOptions, type RequestErrorReason } from './request-error.ts';

/** Answer for a host that is in no route. */
export function unknownHost(host: string, domain: string): RequestError {
  return new RequestError('unknown-host', `no app is served at ${host}`, {
    hint: `Apps live at <name>.${domain}. \`gantry apps list\` shows yours; \`gantry apps create <name>\` makes one.`,
  });
}

interface Explanation extends RequestErrorOptions {
  message: (slug: string) => string;
}

const EXPLANATIONS: Record<Route['state'], Explanation & { reason: RequestErrorReason }> = {
  empty: {
    reason: 'empty',
    message: (slug) => `nothing has been deployed to ${slug} yet`,
    hint: 'Push its source with `git push platform main`, or use `gantry deploy --image <image>`.',
    retryAfterSeconds: 30,
  },
  deploying: {
    reason: 'deploying',
    message: (slug) => `${slug} is being deployed`,
    hint: 'This page answers as soon as the first instance is healthy. Try again in a few seconds.',
    retryAfterSeconds: 3,
  },
  crashed: {
    reason: 'crashed',
    message: (slug) => `${slug} has crashed: none of its instances is running`,
    hint: 'Its owner sees why with `gantry logs`, and brings back the last good release with `gantry rollback`.',
    retryAfterSeconds: 10,
  },
  stopped: {
    reason: 'stopped',
    message: (slug) => `${slug} is stopped: it is scaled to zero`,
    hint: 'Its owner starts it with `gantry scale web=1`.',
    retryAfterSeconds: 30,
  },
  // in a table that says `serving` without targets the last instance has just gone
  serving: {
    reason: 'deploying',
    message: (slug) => `${slug} has no healthy instance at the moment`,
    hint: 'Try again in a few seconds.',
    retryAfterSeconds: 3,
  },
};

/** Answer for an app that has no instance to send a request to. */
export function noTargets(route: Route): RequestError {
  const { reason, message, ...options } = EXPLANATIONS[route.state];
  return new RequestError(reason, message(route.app.slug), options);
}
