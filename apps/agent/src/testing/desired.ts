import type { DesiredBuild, DesiredInstance } from '#libs/contract';
import { randomText } from '#libs/host';

/** An id of a kind, as the control plane makes them. */
export function makeId(kind: string): string {
  return `${kind}_${randomText(20)}`;
}

const ORGANIZATION = { id: 'org_00000000000000000000' };
const APP = { id: 'app_00000000000000000000', slug: 'hello' };
export const DIGEST = `sha256:${'1'.repeat(64)}`;

/** A desired instance that needs nothing special, changed as told. */
export function desiredInstance(change: Partial<DesiredInstance> = {}): DesiredInstance {
  return {
    id: makeId('ins'),
    generation: 0,
    organization: ORGANIZATION,
    app: APP,
    service: 'web',
    release: 1,
    image: { repository: `${APP.id}/app`, digest: DIGEST, source: 'platform' },
    argv: null,
    env: {},
    port: 8080,
    resources: { memoryBytes: 512 << 20, cpus: 1, pids: 512 },
    health: { kind: 'none', startTimeoutSeconds: 60 },
    volumes: [],
    stopGraceSeconds: 10,
    ...change,
  };
}

export function desiredBuild(change: Partial<DesiredBuild> = {}): DesiredBuild {
  return {
    id: makeId('bld'),
    number: 1,
    organization: ORGANIZATION,
    app: APP,
    sourceDateEpoch: 1_700_000_000,
    commit: 'c'.repeat(40),
    repository: `${APP.id}/app`,
    env: {},
    resources: { memoryBytes: 1 << 30, cpus: 2, pids: 1024 },
    timeoutSeconds: 60,
    ...change,
  };
}
