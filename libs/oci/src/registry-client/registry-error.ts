import { z } from 'zod';
import { type ErrorCode, PlatformError } from '#libs/errors';
import type { Response } from './transport.ts';

const MAX_ERROR_BYTES = 64 << 10;
const MAX_SHOWN = 300;

const errorsSchema = z.object({
  errors: z.array(z.object({ code: z.string().optional(), message: z.string().nullish() })).min(1),
});

/** The PlatformError for an answer that was not expected; says what the registry said (distribution spec, "Error Codes"). */
export async function registryError(
  response: Response,
  registry: string,
  subject: string,
): Promise<PlatformError> {
  const { statusCode } = response;
  const said = await readSaid(response);
  const reason = said ? `: ${said}` : '';
  const details = { status: statusCode, registry };
  if (statusCode === 404) {
    return new PlatformError('not_found', `${subject} not found in registry ${registry}`, {
      details,
      hint: 'Check the name and the tag; a private image also needs credentials.',
    });
  }
  const code = codeOf(statusCode);
  return new PlatformError(code, `${subject}: registry ${registry} answered ${statusCode}${reason}`, {
    details,
  });
}

function codeOf(status: number): ErrorCode {
  if (status === 401) return 'unauthenticated';
  if (status === 403) return 'forbidden';
  if (status === 409) return 'conflict';
  if (status === 413) return 'too_large';
  if (status === 429) return 'limit_exceeded';
  if (status >= 500) return 'unavailable';
  if (status >= 400) return 'invalid_input';
  return 'unavailable';
}

/** The registry's own words, made harmless for a terminal. */
async function readSaid(response: Response): Promise<string> {
  let text = '';
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      text += chunk.toString('utf8');
      if (text.length > MAX_ERROR_BYTES) break;
    }
    const { errors } = errorsSchema.parse(JSON.parse(text));
    const words = errors.map(({ code, message }) => [code, message].filter(Boolean).join(' ')).join('; ');
    return words.replace(/\p{Cc}/gu, ' ').slice(0, MAX_SHOWN);
  } catch {
    return '';
  }
}
