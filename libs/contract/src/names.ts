import { z } from 'zod';

/** Names that would collide with the platform's own hosts or paths. */
const RESERVED_SLUGS = new Set([
  'api',
  'console',
  'git',
  'registry',
  'www',
  'admin',
  'gantry',
  'platform',
  'internal',
]);

/** An app's slug: a DNS label (RFC 1123), since it is the host name `<slug>.<domain>`. */
export const AppSlug = z
  .string()
  .regex(
    /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/,
    'use lower-case letters, digits and single dashes, starting with a letter',
  )
  .min(2)
  .max(40)
  .refine((slug) => !RESERVED_SLUGS.has(slug), 'this name is reserved for the platform');

/** A service's name, i.e. its process type: `web`, `worker`, … */
export const ServiceName = z
  .string()
  .regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, 'use lower-case letters, digits and single dashes')
  .max(30);

export const VolumeName = z
  .string()
  .regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, 'use lower-case letters, digits and single dashes')
  .max(40);

/** What a person calls a token: one line of text that shows as it is. */
export const TokenName = z
  .string()
  .min(1)
  .max(60)
  .regex(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u, 'use one line without control characters');

/** An environment variable's name (POSIX, XBD 8.1). */
export const ConfigName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'use letters, digits and underscores, not starting with a digit')
  .max(128);

/** Where a volume appears inside a container: absolute, no `.` or `..`, not a system folder. */
export const MountPath = z
  .string()
  .max(255)
  .regex(/^(\/[A-Za-z0-9._-]+)+$/, 'use an absolute path such as /data')
  .refine(
    (path) => !path.split('/').some((part) => part === '.' || part === '..'),
    'must not contain . or ..',
  )
  .refine(
    (path) => !/^\/(proc|sys|dev|etc|bin|sbin|lib|lib64|usr|boot|run|cnb|layers)(\/|$)/.test(path),
    'system folders cannot be mounted over',
  );

/** `sha256:` and 64 hex digits (OCI image spec, descriptor digests). */
export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

/** An id: a kind, an underscore and 20 random characters, e.g. `app_3k…`. */
export const Id = z.string().regex(/^[a-z]{2,4}_[0-9a-z]{20}$/);

/** A point in time, RFC 3339 in UTC. */
export const Timestamp = z.iso.datetime();
