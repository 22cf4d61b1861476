import { describe, expect, it } from 'vitest';
import { debianSourceLines } from './debian-sources.ts';

const file = (name: string, text: string) => ({ name, text });

describe('debianSourceLines', () => {
  it("takes Debian's suites of a deb822 file, with the host's mirrors", () => {
    const text = `Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main
 contrib
`;
    expect(debianSourceLines([file('debian.sources', text)], 'bookworm')).toEqual([
      'deb http://mirror.example/debian bookworm main',
      'deb http://mirror.example/debian bookworm-updates main',
      'deb https://mirror.example/debian-security bookworm-security main',
    ]);
  });

  it('takes one-line sources, with and without options', () => {
    const text = `deb http://a.example/debian/ bookworm main contrib # main archive
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://a.example/proxy/deb bookworm-updates main
# deb http://b.example/debian bookworm main
deb-src http://a.example/debian bookworm main`;
    expect(debianSourceLines([file('sources.list', text)], 'bookworm')).toEqual([
      'deb http://a.example/debian/ bookworm main',
      'deb http://a.example/proxy/deb bookworm-updates main',
    ]);
  });

  it("leaves other vendors' sources out, whatever suite they claim", () => {
    const lines = `deb https://vendor.example/repo bookworm main
deb [signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example/debian bookworm main
deb https://vendor.example/debian nodistro main
deb http://a.example/debian bookworm main`;
    expect(debianSourceLines([file('vendor.list', lines)], 'bookworm')).toEqual([
      'deb http://a.example/debian bookworm main',
    ]);
  });

  it('gives nothing when the release itself is missing, or a stanza is disabled', () => {
    expect(
      debianSourceLines([file('sources.list', 'deb http://a.example/debian trixie main')], 'bookworm'),
    ).toEqual([]);
    const disabled =
      'Enabled: no\nTypes: deb\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main\n';
    expect(debianSourceLines([file('debian.sources', disabled)], 'bookworm')).toEqual([]);
    expect(
      debianSourceLines(
        [file('sources.list', 'deb http://a.example/debian bookworm-security main')],
        'bookworm',
      ),
    ).toEqual([]);
  });
});
