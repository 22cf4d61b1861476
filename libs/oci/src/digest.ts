import { createHash } from 'node:crypto';
import { PlatformError } from '#libs/errors';

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** True for `sha256:` and 64 lower-case hex digits: the only digest algorithm that Gantry accepts. */
export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** Returns `text` if it is a digest; throws `invalid_input` otherwise. */
export function assertDigest(text: string): string {
  if (isDigest(text)) return text;
  throw new PlatformError('invalid_input', `${JSON.stringify(text.slice(0, 100))} is not a digest`, {
    hint: 'A digest is sha256: followed by 64 hexadecimal digits in lower case.',
  });
}

/** The digest of `bytes`. */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The 64 hex digits of a digest: safe as a file name. Throws `invalid_input` if it is none. */
export function digestHex(digest: string): string {
  return assertDigest(digest).slice('sha256:'.length);
}
