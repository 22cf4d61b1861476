import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

/** The house's rules that a program can check. */
const root = path.join(import.meta.dirname, '..');

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file && existsSync(path.join(root, file)));
const sources = files.filter((file) => /\.(ts|tsx|mjs)$/.test(file) && !file.includes('/fixtures/'));
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const isTest = (file: string) =>
  file.endsWith('.test.ts') || /^(test|bench)\//.test(file) || file.includes('/testing/');

/** Which parts each part may import: DESIGN's arrows, downward only. */
const L0 = ['libs/errors', 'libs/host', 'libs/log'];
const ARROWS: Record<string, string[]> = {
  'libs/errors': [],
  'libs/host': ['libs/errors'],
  'libs/log': [],
  'libs/contract': ['libs/errors'],
  'libs/oci': L0,
  'libs/engine': ['libs/oci', 'libs/contract', ...L0],
  'libs/scheduler': ['libs/contract'],
  'libs/autoscaler': ['libs/contract'],
  'libs/build': ['libs/engine', 'libs/oci', 'libs/contract', ...L0],
  'libs/registry': ['libs/oci', 'libs/contract', ...L0],
  'apps/control-plane': [
    'libs/scheduler',
    'libs/autoscaler',
    'libs/registry',
    'libs/oci',
    'libs/contract',
    ...L0,
  ],
  'apps/agent': ['libs/engine', 'libs/build', 'libs/oci', 'libs/contract', ...L0],
  'apps/router': ['libs/contract', ...L0],
  'apps/cli': ['libs/contract', ...L0],
  'apps/standalone': ['libs/contract', ...L0],
};
const BANNED_NAMES = /(^|\/)(utils?|helpers?|common|shared|misc)(\.|\/|$)|manager/i;

const partOf = (file: string) => file.split('/').slice(0, 2).join('/');

function importsOf(file: string): string[] {
  return [...read(file).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

function resolveImport(file: string, specifier: string): string | null {
  if (specifier.startsWith('#libs/')) return `libs/${specifier.slice('#libs/'.length)}`;
  if (specifier.startsWith('.')) return partOf(path.normalize(path.join(path.dirname(file), specifier)));
  return null;
}

/** Lines that hold to the pattern, as `file:line`. */
function offences(list: string[], pattern: RegExp): string[] {
  return list.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1}`] : [])),
  );
}

describe('tidy', () => {
  const product = sources.filter((file) => /^(libs|apps)\//.test(file) && !isTest(file));

  it('imports point downward only, and reach a lib through its index', () => {
    const wrong = product.flatMap((file) => {
      const part = partOf(file);
      const allowed = [...(ARROWS[part] ?? []), part];
      return importsOf(file).flatMap((specifier) => {
        const target = resolveImport(file, specifier);
        const outside = target !== null && !allowed.includes(target);
        const sideways = specifier.startsWith('.') && target !== part;
        return outside || sideways ? [`${file} → ${specifier}`] : [];
      });
    });
    expect(wrong).toEqual([]);
  });

  it('every part of the tree has its arrows named', () => {
    expect([...new Set(product.map(partOf))].filter((part) => !(part in ARROWS))).toEqual([]);
  });

  it('files stay short', () => {
    const long = sources.flatMap((file) => {
      const lines = read(file).trimEnd().split('\n').length;
      return lines > 400 ? [`${file}: ${lines}`] : [];
    });
    expect(long).toEqual([]);
  });

  it('names say what a thing is', () => {
    expect(files.filter((file) => !file.includes('/fixtures/') && BANNED_NAMES.test(file))).toEqual([]);
    expect(sources.filter((file) => !/^[a-z0-9.-]+$/.test(path.basename(file)))).toEqual([]);
  });

  it('libs name what they export', () => {
    expect(offences(product, /^export \*/)).toEqual([]);
  });

  it('the environment is read in one place of each process', () => {
    const allowed = /\/(main|teardown|proc-receive)\.ts$|^prisma/;
    expect(
      offences(
        product.filter((file) => !allowed.test(file)),
        /process\.env\b/,
      ),
    ).toEqual([]);
  });

  it('Nest and Prisma stay in the control plane', () => {
    const elsewhere = product.filter((file) => !file.startsWith('apps/control-plane/'));
    const wrong = elsewhere.flatMap((file) =>
      importsOf(file)
        .filter((s) => /^(@nestjs|@prisma|bullmq)/.test(s))
        .map((s) => `${file} → ${s}`),
    );
    expect(wrong).toEqual([]);
  });

  it('the type checker is not talked over', () => {
    expect(offences(product, /\bas any\b|as unknown as|@ts-ignore|@ts-nocheck|@ts-expect-error/)).toEqual([]);
  });

  it('no test is skipped or left alone', () => {
    expect(
      offences(
        sources.filter((f) => f.endsWith('.test.ts')),
        /\b(it|test|describe)\.(skip|todo|only|skipIf)\b/,
      ),
    ).toEqual([]);
  });

  it('the version is the one of package.json', () => {
    expect(read('libs/contract/src/version.ts')).toContain(`'${JSON.parse(read('package.json')).version}'`);
  });

  it('no registry host is in the lockfile', () => {
    expect(read('package-lock.json')).not.toContain('"resolved"');
  });

  it('every source file is used: something imports it, or it is an entry', () => {
    const entries =
      /\/(main|teardown|index|reference|proc-receive|config)\.ts$|\.test\.ts$|^(bench|test|prisma)|config\.ts$|\.mjs$/;
    const imported = new Set(
      sources.flatMap((file) =>
        importsOf(file)
          .filter((s) => s.startsWith('.'))
          .map((s) => path.normalize(path.join(path.dirname(file), s))),
      ),
    );
    expect(sources.filter((file) => !entries.test(file) && !imported.has(file))).toEqual([]);
  });
});
