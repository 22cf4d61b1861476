import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], more: object = {}) => ({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'], externalConditions: ['source'] } },
  test: { name, include, environment: 'node', ...more },
});

/**
 * unit: pure code and single classes, beside the code; no root, no services.
 * integration: the real kernel, PostgreSQL, Redis and git; needs root.
 * e2e: a whole platform through `./gantry up`, driven as a user would.
 */
export default defineConfig({
  test: {
    projects: [
      project('unit', ['libs/**/*.test.ts', 'apps/**/*.test.ts', 'test/*.test.ts']),
      project('integration', ['test/integration/**/*.test.ts', 'test/conformance/**/*.test.ts'], {
        fileParallelism: false,
        testTimeout: 120_000,
        hookTimeout: 180_000,
      }),
      project('e2e', ['test/e2e/**/*.test.ts', 'test/faults/**/*.test.ts'], {
        fileParallelism: false,
        testTimeout: 240_000,
        hookTimeout: 420_000,
      }),
    ],
  },
});
