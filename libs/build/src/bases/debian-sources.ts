/** One source of Debian packages: what a `deb` line or a deb822 stanza names. */
export interface DebianSource {
  uri: string;
  suite: string;
  components: string[];
}

/**
 * The one-line form (sources.list(5)) of Debian's own archives among the host's apt sources, so that the host's mirrors
 * are honoured and other vendors' packages never reach an image. Empty when the host has none for this release.
 *
 * @param files text of sources.list and of the files of sources.list.d, with their names
 */
export function debianSourceLines(
  files: readonly { name: string; text: string }[],
  release: string,
): string[] {
  const suites = new Set([release, `${release}-updates`, `${release}-security`]);
  const lines = new Set<string>();
  for (const { name, text } of files) {
    for (const source of name.endsWith('.sources') ? parseStanzas(text) : parseLines(text)) {
      if (suites.has(source.suite) && source.components.includes('main')) {
        lines.add(`deb ${source.uri} ${source.suite} main`);
      }
    }
  }
  const found = [...lines];
  return found.some((line) => line.split(' ')[2] === release) ? found : [];
}

/** sources.list(5), one-line style: `deb [options] uri suite component…`. */
function parseLines(text: string): DebianSource[] {
  const sources: DebianSource[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (!match) continue;
    const [, options = '', uri = '', suite = '', components = ''] = match;
    const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1];
    if (isDebians(uri, signedBy)) sources.push({ uri, suite, components: components.trim().split(/\s+/) });
  }
  return sources;
}

/** sources.list(5), deb822 style: stanzas of `Field: values`, continued by indented lines. */
function parseStanzas(text: string): DebianSource[] {
  const sources: DebianSource[] = [];
  for (const stanza of text.split(/\n\s*\n/)) {
    const fields = parseFields(stanza);
    const words = (field: string) => (fields.get(field) ?? '').split(/\s+/).filter(Boolean);
    if (!words('types').includes('deb') || words('enabled')[0] === 'no') continue;
    for (const uri of words('uris')) {
      if (!isDebians(uri, fields.get('signed-by'))) continue;
      for (const suite of words('suites')) sources.push({ uri, suite, components: words('components') });
    }
  }
  return sources;
}

function parseFields(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let last = '';
  for (const line of stanza.split('\n')) {
    if (line.startsWith('#')) continue;
    const match = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(line);
    if (match) {
      last = (match[1] ?? '').toLowerCase();
      fields.set(last, match[2] ?? '');
    } else if (last) {
      fields.set(last, `${fields.get(last) ?? ''} ${line.trim()}`);
    }
  }
  return fields;
}

/** Debian's when signed by Debian's archive key; without a named key, when the path is the archive's usual one. */
function isDebians(uri: string, signedBy: string | undefined): boolean {
  if (!/^https?:\/\//.test(uri)) return false;
  if (signedBy?.trim()) return /debian-archive/.test(signedBy);
  return /\/debian(-security)?\/?$/.test(uri);
}
