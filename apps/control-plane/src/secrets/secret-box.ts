import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { PlatformError } from '#libs/errors';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Seals small secrets (config variables, credentials) for the database: AES-256-GCM, a fresh nonce each, the context
 * (what the secret belongs to) bound as associated data so that a sealed value cannot be moved to another row.
 */
export class SecretBox {
  readonly #key: Buffer;

  /** @param key 32 bytes. */
  constructor(key: Buffer) {
    this.#key = key;
  }

  seal(text: string, context: string): Uint8Array<ArrayBuffer> {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(context));
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return new Uint8Array(Buffer.concat([nonce, cipher.getAuthTag(), sealed]));
  }

  /** Throws `internal` when the value was changed, moved, or sealed with another key. */
  open(sealed: Uint8Array, context: string): string {
    const bytes = Buffer.from(sealed);
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, NONCE_BYTES))
        .setAAD(Buffer.from(context))
        .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      return (
        decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
      );
    } catch (cause) {
      throw new PlatformError('internal', `cannot open the sealed value of ${context}`, {
        cause,
        hint: 'Was secrets.json of the data folder replaced? The master key must be the one that sealed it.',
      });
    }
  }
}
