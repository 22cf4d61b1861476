import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import type { Registry } from '#libs/registry';

const METHODS: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** Mounts the OCI registry at `/v2/`. It reads and answers requests itself, so that blobs are streamed. */
export function registerRegistry(fastify: FastifyInstance, { registry }: { registry: Registry }): void {
  fastify.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    const handler = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
      reply.hijack();
      await registry.handle(request.raw, reply.raw);
    };
    for (const url of ['/v2', '/v2/', '/v2/*'])
      scope.route({ method: METHODS, url, handler, exposeHeadRoute: false });
  });
}
