import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Actor } from '../auth/actor.ts';
import { unauthenticated } from '../auth/authorize.ts';
import { toProblem } from './problem.filter.ts';

/** From a request's head to the last byte of its body. */
const BODY_TIMEOUT_MS = 30_000;

/**
 * Takes JSON bodies only from callers who are known, and only for so long: a stranger's would be read and parsed before
 * the guard is asked. What the guard would look up again is left on the request. For addresses that take JSON; git and
 * the registry do their own.
 */
export function refuseStrangersBodies(
  fastify: FastifyInstance,
  authenticate: (authorization: string | undefined) => Promise<Actor | undefined>,
): void {
  fastify.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    if (!hasBody(request) || !/^\/(v1|node|router)\//.test(request.url)) return;
    limitBodyTime(request);
    const actor = await authenticate(request.headers.authorization);
    if (actor) {
      request.actor = actor;
      return;
    }
    const problem = toProblem(unauthenticated());
    void reply.header('www-authenticate', 'Bearer realm="gantry"').header('connection', 'close');
    await reply.status(problem.status).header('content-type', 'application/problem+json').send(problem);
  });
}

function hasBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function limitBodyTime({ raw }: FastifyRequest): void {
  const timer = setTimeout(() => raw.destroy(), BODY_TIMEOUT_MS);
  const stop = () => clearTimeout(timer);
  raw.once('end', stop).once('close', stop).once('error', stop);
}
