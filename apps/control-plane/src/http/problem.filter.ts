import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Problem } from '#libs/contract';
import { type ErrorCode, HTTP_STATUS, PlatformError, toPlatformError } from '#libs/errors';
import type { Logger } from '#libs/log';

const CODE_OF_STATUS = new Map<number, ErrorCode>([
  [400, 'invalid_input'],
  [401, 'unauthenticated'],
  [403, 'forbidden'],
  [404, 'not_found'],
  [413, 'too_large'],
  [415, 'invalid_input'],
]);

/** The one place where an error becomes an HTTP answer: problem+json (RFC 9457). */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Logger) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const error = fromFramework(thrown);
    if (error.code === 'internal')
      this.log.error({ err: thrown, method: request.method, path: request.url }, 'request failed');
    if (reply.raw.headersSent) {
      reply.raw.destroy(); // half an answer is on its way: cut it, so that the caller sees it is not whole
      return;
    }
    const problem = toProblem(error);
    if (error.code === 'unauthenticated') void reply.header('www-authenticate', 'Bearer realm="gantry"');
    void reply.status(problem.status).header('content-type', 'application/problem+json').send(problem);
  }
}

/** RFC 9457 document of an error. What is internal stays in the log. */
export function toProblem(error: PlatformError): Problem {
  const internal = error.code === 'internal';
  return {
    type: 'about:blank',
    title: error.code.replaceAll('_', ' '),
    status: HTTP_STATUS[error.code],
    code: error.code,
    detail: internal ? 'something went wrong inside the platform' : error.message,
    ...(internal
      ? { hint: 'Look at logs/control-plane.log in the data folder.' }
      : error.hint
        ? { hint: error.hint }
        : {}),
    ...(Object.keys(error.details).length && !internal ? { details: error.details } : {}),
  };
}

function fromFramework(thrown: unknown): PlatformError {
  const status = statusOf(thrown);
  const code = status === undefined ? undefined : CODE_OF_STATUS.get(status);
  if (code && thrown instanceof Error && !(thrown instanceof PlatformError)) {
    return new PlatformError(
      code,
      code === 'not_found' ? 'there is nothing at this address' : thrown.message,
      { cause: thrown },
    );
  }
  return toPlatformError(thrown);
}

function statusOf(thrown: unknown): number | undefined {
  if (thrown instanceof HttpException) return thrown.getStatus();
  if (thrown instanceof Error && 'statusCode' in thrown && typeof thrown.statusCode === 'number')
    return thrown.statusCode;
  return undefined;
}
