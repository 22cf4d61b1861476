import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import type { DockerContainer } from './docker-container.ts';

/** Both shapes in the field: `{"label": {"a=b": true}}` and `{"label": ["a=b"]}`. */
const Filters = z.record(z.string(), z.union([z.array(z.string()), z.record(z.string(), z.boolean())]));

const MATCHES: Record<string, (one: DockerContainer, value: string) => boolean> = {
  id: (one, value) => one.id.startsWith(value),
  name: (one, value) => one.name.includes(value.replace(/^\//, '')),
  status: (one, value) => one.container.status === value,
  label: ({ container }, value) => {
    const at = value.indexOf('=');
    const label = container.spec.labels[at < 0 ? value : value.slice(0, at)];
    return at < 0 ? label !== undefined : label === value.slice(at + 1);
  },
};

/** A test for `filters` of a list request: every key must match, by any of its values. Throws `invalid_input`. */
export function parseFilters(text: string | null): (one: DockerContainer) => boolean {
  if (!text) return () => true;
  const wanted = Object.entries(parse(text)).map(([key, values]) => {
    const matches = MATCHES[key];
    if (!matches) throw new PlatformError('invalid_input', `Invalid filter '${key}'`);
    const list = Array.isArray(values) ? values : Object.keys(values).filter((value) => values[value]);
    return (one: DockerContainer) => list.length === 0 || list.some((value) => matches(one, value));
  });
  return (one) => wanted.every((test) => test(one));
}

function parse(text: string): z.infer<typeof Filters> {
  try {
    return Filters.parse(JSON.parse(text));
  } catch (error) {
    throw new PlatformError('invalid_input', 'filters must be a JSON object of lists', { cause: error });
  }
}
