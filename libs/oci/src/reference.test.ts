import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatReference, isRepository, parseReference } from './reference.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

describe('parseReference', () => {
  it.each([
    ['debian', 'docker.io/library/debian:latest'],
    ['debian:12', 'docker.io/library/debian:12'],
    ['grafana/grafana', 'docker.io/grafana/grafana:latest'],
    ['docker.io/debian', 'docker.io/library/debian:latest'],
    ['index.docker.io/debian', 'docker.io/library/debian:latest'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app', 'localhost:5000/app:latest'],
    ['127.0.0.1:5000/a/b/c:v1', '127.0.0.1:5000/a/b/c:v1'],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
    ['GHCR/app', 'GHCR/app:latest'],
    ['ghcr.io/o/a__b/c-d.e', 'ghcr.io/o/a__b/c-d.e:latest'],
    [`app@${DIGEST}`, `docker.io/library/app@${DIGEST}`],
    [`ghcr.io/o/app:v1@${DIGEST}`, `ghcr.io/o/app:v1@${DIGEST}`],
    ['a:5000', 'docker.io/library/a:5000'],
    ['a/b:5000', 'docker.io/a/b:5000'],
    ['r.io:1/x:T_.-9', 'r.io:1/x:T_.-9'],
  ])('%s', (text, full) => {
    expect(formatReference(parseReference(text))).toBe(full);
  });

  it.each([
    '',
    ' ',
    '/',
    'a/',
    '/a',
    'a//b',
    ':tag',
    'a:',
    'a@',
    'Debian',
    'a/B',
    'ghcr.io/UPPER',
    'a..b',
    'a___b',
    '-a',
    'a-',
    '_a',
    'a b',
    'a\n',
    'a:tag\n',
    'a:t/b:',
    'ghcr.io:99999/a',
    'ghcr.io:/a',
    'gh_cr.io/a',
    '-x.io/a',
    'a/../b',
    '../a',
    'a/./b',
    'http://ghcr.io/a',
    'user@ghcr.io/a',
    `a@${DIGEST.toUpperCase()}`,
    'a@sha256:00',
    `a@sha512:${'0'.repeat(128)}`,
    `a:${'t'.repeat(129)}`,
    `r.io/${'a'.repeat(256)}`,
    'a'.repeat(2000),
    'a:-tag',
    'ä',
    '[::1/a',
    '[zz]/a',
  ])('refuses %j', (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
  });

  it('reads back what it writes', () => {
    const component = fc.stringMatching(/^[a-z0-9]{1,8}([._-][a-z0-9]{1,8})?$/);
    const reference = fc.record(
      {
        registry: fc.constantFrom('ghcr.io', 'localhost', '127.0.0.1:5000', '[::1]:5000', 'a.b-c.io:1'),
        repository: fc.array(component, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/')),
        tag: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/),
        digest: fc.constant(DIGEST),
      },
      { requiredKeys: ['registry', 'repository', 'tag'] },
    );
    fc.assert(
      fc.property(reference, (wanted) => {
        expect(parseReference(formatReference(wanted))).toEqual(wanted);
      }),
    );
  });

  it('answers any text with a safe reference or invalid_input', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom('a', 'A', '1', '.', '/', ':', '@', '-', '_', '[', ']') }),
    );
    fc.assert(
      fc.property(text, (input) => {
        let parsed: ReturnType<typeof parseReference>;
        try {
          parsed = parseReference(input);
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid_input' });
          return;
        }
        expect(isRepository(parsed.repository)).toBe(true);
        expect(parsed.registry).toMatch(/^[A-Za-z0-9.:[\]-]+$/);
        expect(parseReference(formatReference(parsed))).toEqual(parsed);
        expect(parsed.tag ?? parsed.digest).toBeDefined();
      }),
      { numRuns: 2000 },
    );
  });
});
