import { InvalidArgumentError, Option } from 'commander';
import { PlatformError } from '#libs/errors';

const MAX_PAGE = 200;

/** `--limit`: how many entries a list shows. */
export function limitOption(): Option {
  return new Option('-n, --limit <count>', `how many to show, at most ${MAX_PAGE}`)
    .default(20)
    .argParser((text) => parseCount(text, 1, MAX_PAGE));
}

/** A whole number between `min` and `max`, for commander's option parsers. */
export function parseCount(text: string, min: number, max: number): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) < min || Number(text) > max) {
    throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
  }
  return Number(text);
}

const DURATION_MS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A point in time as users write it, as an RFC 3339 time stamp: how long ago (`90s`, `10m`, `2h`, `3d`) or a date
 * with or without time. Throws `invalid_input`.
 */
export function parseTime(text: string, nowMs: number): string {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (amount !== undefined && unit !== undefined) {
    return new Date(nowMs - Number(amount) * (DURATION_MS[unit] ?? 0)).toISOString();
  }
  const parsed = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(parsed)) return new Date(parsed).toISOString();
  throw new PlatformError('invalid_input', `${JSON.stringify(text)} is no point in time`, {
    hint: 'Give how long ago (90s, 10m, 2h, 3d) or a time like 2026-01-31T12:00:00Z.',
  });
}
