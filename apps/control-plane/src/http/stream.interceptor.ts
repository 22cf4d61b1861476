import { Readable } from 'node:stream';
import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply } from 'fastify';
import { map, type Observable } from 'rxjs';
import type { EndpointDefinition } from '#libs/contract';
import { ENDPOINT } from './endpoint.decorator.ts';

/** Turns what a streaming endpoint yields into newline-delimited JSON, with the caller's pace as back-pressure. */
@Injectable()
export class StreamInterceptor implements NestInterceptor {
  constructor(private readonly reflector: Reflector) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const definition = this.reflector.get<EndpointDefinition | undefined>(ENDPOINT, context.getHandler());
    if (!definition?.stream) return next.handle();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(
      map((items: AsyncIterable<unknown>) => {
        void reply.header('content-type', 'application/x-ndjson').header('cache-control', 'no-store');
        return Readable.from(lines(items), { objectMode: false });
      }),
    );
  }
}

async function* lines(items: AsyncIterable<unknown>): AsyncGenerator<string> {
  yield '\n'; // the headers go out at once, whenever the first item comes
  for await (const item of items) yield `${JSON.stringify(item)}\n`;
}
