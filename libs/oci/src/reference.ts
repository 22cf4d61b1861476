import { PlatformError } from '#libs/errors';
import { isDigest } from './digest.ts';

/** Where an image is: `registry/repository[:tag][@digest]`, with at least one of tag and digest. */
export interface Reference {
  /** Host name or address, with the port if one is given, e.g. `docker.io` or `127.0.0.1:5000`. */
  registry: string;
  /** Path in the registry, e.g. `library/debian`. */
  repository: string;
  tag?: string;
  /** Wins over the tag when both are there. */
  digest?: string;
}

const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_TAG = 'latest';
const MAX_REFERENCE_LENGTH = 1024;
const MAX_REPOSITORY_LENGTH = 255;

const HOST =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/;
const IPV6 = /^\[[0-9a-fA-F:.]{2,45}\]$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/**
 * Parses an image reference after the grammar of the distribution project (reference.go): short names belong to
 * `docker.io/library`, the first part is a registry when it holds a dot or a colon, is `localhost` or is not in lower
 * case. With neither tag nor digest the tag is `latest`. Throws `invalid_input`.
 */
export function parseReference(text: string): Reference {
  const fail = (why: string): never => {
    throw new PlatformError(
      'invalid_input',
      `${JSON.stringify(text.slice(0, 200))} is not an image reference: ${why}`,
      {
        hint: 'Write it as [registry[:port]/]repository[:tag][@sha256:digest], the repository in lower case.',
      },
    );
  };
  if (text.length === 0) fail('it is empty');
  if (text.length > MAX_REFERENCE_LENGTH) fail(`it is longer than ${MAX_REFERENCE_LENGTH} characters`);

  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) fail('its digest is not sha256: and 64 hexadecimal digits');
  const named = at < 0 ? text : text.slice(0, at);

  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/') && colon > named.lastIndexOf(']');
  const tag = hasTag ? named.slice(colon + 1) : undefined;
  if (tag !== undefined && !isTag(tag))
    fail('its tag is not 1 to 128 letters, digits, dots, dashes and underscores');
  const name = hasTag ? named.slice(0, colon) : named;

  const { registry, path } = splitRegistry(name);
  if (!isRegistry(registry)) fail(`${JSON.stringify(registry)} is not a registry host`);
  if (path !== path.toLowerCase()) fail('its repository must be in lower case');
  const repository = registry === DEFAULT_REGISTRY && !path.includes('/') ? `library/${path}` : path;
  if (!isRepository(repository))
    fail('its repository is not a path of lower-case letters, digits and single separators');

  const reference: Reference = { registry, repository };
  if (tag !== undefined) reference.tag = tag;
  if (digest !== undefined) reference.digest = digest;
  if (tag === undefined && digest === undefined) reference.tag = DEFAULT_TAG;
  return reference;
}

/** The full text of a reference; `parseReference` reads it back. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** True for a repository path as the distribution spec allows it, at most 255 characters. */
export function isRepository(text: string): boolean {
  return (
    text.length <= MAX_REPOSITORY_LENGTH && text.split('/').every((component) => COMPONENT.test(component))
  );
}

/** True for a tag as the distribution spec allows it. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

function splitRegistry(name: string): { registry: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  if (slash < 0 || !isHost) return { registry: DEFAULT_REGISTRY, path: name };
  return { registry: first === 'index.docker.io' ? DEFAULT_REGISTRY : first, path: name.slice(slash + 1) };
}

function isRegistry(text: string): boolean {
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(text) ?? [];
  if (port !== undefined && !(/^[0-9]{1,5}$/.test(port) && Number(port) > 0 && Number(port) <= 65_535))
    return false;
  return host.length <= 253 && (HOST.test(host) || IPV6.test(host));
}
