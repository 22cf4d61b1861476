import { AppSlug } from '#libs/contract';
import { PlatformError } from '#libs/errors';

const MAX_SLUG_LENGTH = 40;

/** `name` when it can be an app's. Throws `invalid_input` with why it cannot, and the nearest one that can. */
export function parseAppName(name: string): string {
  const parsed = AppSlug.safeParse(name);
  if (parsed.success) return parsed.data;
  const why = parsed.error.issues.map((issue) => issue.message).join('; ');
  throw new PlatformError('invalid_input', `${JSON.stringify(name)} cannot be an app's name: ${why}`, {
    hint: `Try ${nearestAppName(name)}.`,
  });
}

/** A valid app name that looks most like `text`, for instance a folder's name. */
export function nearestAppName(text: string): string {
  const base = text
    .toLowerCase()
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .replaceAll(/[^a-z0-9]+/g, '-');
  const candidates = [base, `app-${base}`, `${base}-app`].map((candidate) =>
    candidate.slice(0, MAX_SLUG_LENGTH).replaceAll(/^-+|-+$/g, ''),
  );
  return candidates.find((candidate) => AppSlug.safeParse(candidate).success) ?? 'my-app';
}
