import { Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { PlatformError } from '#libs/errors';
import { packetLength } from './pkt-line.ts';

export interface BodyLimits {
  maxBytes: number;
  /** Given up when no byte comes for this long. */
  idleMs: number;
}

/**
 * The stages that a git request's body passes through: unpacked when it is gzip (git packs long requests), counted
 * after that so that a bomb is caught, and given up when it stalls. Throws `unsupported` for another encoding.
 */
export function bodyStages(encoding: string | undefined, limits: BodyLimits): Transform[] {
  const coding = encoding?.toLowerCase() ?? 'identity';
  if (coding === 'identity') return [limited(limits)];
  if (coding === 'gzip' || coding === 'x-gzip') return [createGunzip(), limited(limits)];
  throw new PlatformError('unsupported', `content-encoding ${JSON.stringify(encoding)} is not supported`, {
    hint: 'Send gzip or nothing.',
  });
}

function limited({ maxBytes, idleMs }: BodyLimits): Transform {
  let size = 0;
  let timer: NodeJS.Timeout;
  const stage: Transform = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      timer.refresh();
      size += chunk.length;
      if (size <= maxBytes) done(null, chunk);
      else
        done(
          new PlatformError('too_large', `the request is larger than ${maxBytes} bytes`, {
            details: { limitBytes: maxBytes },
          }),
        );
    },
    flush(done) {
      clearTimeout(timer);
      done();
    },
    destroy(error, done) {
      clearTimeout(timer);
      done(error);
    },
  });
  // A full pipe to git is not the client's idleness: then the clock starts again.
  const check = () => {
    if (stage.writableNeedDrain) timer.refresh();
    else stage.destroy(new PlatformError('timeout', `no byte of the request came for ${idleMs / 1000} s`));
  };
  timer = setTimeout(check, idleMs);
  return stage;
}

/**
 * Holds back the head of a push, its list of refs up to the flush packet, until it is whole, and refuses one beyond
 * `maxBytes`: git itself would take it into memory, however long. The pack behind it passes untouched.
 */
export function pushHead(maxBytes: number): Transform {
  let head: Buffer | undefined = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (!head) return done(null, chunk);
      head = head.length ? Buffer.concat([head, chunk]) : chunk;
      try {
        const complete = endsWithin(head, maxBytes);
        if (!complete) return done();
        const whole = head;
        head = undefined;
        done(null, whole);
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    },
    flush(done) {
      done(null, head); // an incomplete one: git says what it lacks
    },
  });
}

/** True when the flush packet that ends the list is in `bytes`. Throws `too_large`, or `invalid_input`. */
function endsWithin(bytes: Buffer, maxBytes: number): boolean {
  for (let at = 0; ; ) {
    const length = lengthAt(bytes, at);
    if (length === 0) return true;
    if (at + (length ?? 0) > maxBytes) {
      throw new PlatformError('too_large', `a push names at most ${maxBytes} bytes of refs at once`, {
        hint: 'Push fewer refs at a time.',
      });
    }
    if (length === undefined || at + length > bytes.length) return false;
    at += length;
  }
}

function lengthAt(bytes: Buffer, at: number): number | undefined {
  try {
    return packetLength(bytes.subarray(at));
  } catch (cause) {
    throw new PlatformError('invalid_input', 'the request is not in the format of git', { cause });
  }
}
