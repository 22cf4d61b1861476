import { describe, expect, it } from 'vitest';
import type { Image } from '#libs/engine';
import { DIGEST, desiredInstance } from '../testing/desired.ts';
import { containerId, toInstanceContainer } from './container-labels.ts';
import { toContainerSpec } from './container-spec.ts';

const image: Image = {
  digest: DIGEST,
  layers: ['sha256:a'],
  config: {
    user: '1000:1000',
    env: ['PATH=/app/bin', 'FROM_IMAGE=1', 'BOTH=image', 'PORT=1', 'ODD'],
    entrypoint: ['/launch'],
    cmd: ['web'],
    workingDir: '/workspace',
    labels: {},
    stopSignal: 'SIGQUIT',
  },
};
const volumePath = (id: string) => `/volumes/${id}`;

describe('toContainerSpec', () => {
  it("runs the image's entrypoint and command unless the service has its own argv, which replaces both", () => {
    const spec = (argv: string[] | null) =>
      toContainerSpec({ instance: desiredInstance({ argv }), attempt: 1, image, volumePath });
    expect(spec(null).argv).toEqual(['/launch', 'web']);
    expect(spec(['node', 'worker.js']).argv).toEqual(['node', 'worker.js']);
    expect(spec(null)).toMatchObject({ user: '1000:1000', workingDir: '/workspace', stopSignal: 'SIGQUIT' });
  });

  it("lets the app's variables win over the image's, and the platform's over all", () => {
    const instance = desiredInstance({ env: { BOTH: 'app', PORT: '99', GANTRY_APP: 'forged' } });
    expect(toContainerSpec({ instance, attempt: 1, image, volumePath }).env).toEqual({
      PATH: '/app/bin',
      FROM_IMAGE: '1',
      ODD: '',
      BOTH: 'app',
      PORT: '8080',
      GANTRY_APP: 'hello',
      GANTRY_SERVICE: 'web',
      GANTRY_INSTANCE: instance.id,
      GANTRY_RELEASE: '1',
    });
  });

  it('says what to do when nobody says what to run', () => {
    const bare = { ...image, config: { ...image.config, entrypoint: [], cmd: [] } };
    expect(() =>
      toContainerSpec({ instance: desiredInstance(), attempt: 1, image: bare, volumePath }),
    ).toThrow(/has no command/);
  });

  it('carries all that recognising it later needs', () => {
    const id = 'vol_00000000000000000000';
    const instance = desiredInstance({ generation: 41, volumes: [{ id, name: 'data', mountPath: '/data' }] });
    const spec = toContainerSpec({ instance, attempt: 36, image, volumePath });
    expect(spec.mounts).toEqual([{ source: `/volumes/${id}`, target: '/data', ownership: 'owned' }]);
    const container = {
      spec,
      status: 'running' as const,
      pid: 1,
      address: null,
      createdAtMs: 0,
      startedAtMs: 0,
      exit: null,
      logFile: '',
    };
    expect(toInstanceContainer(container)?.labels).toMatchObject({
      instance: instance.id,
      generation: 41,
      attempt: 36,
      stopGraceSeconds: 10,
      volumes: [id],
    });
    const foreign = { ...container, spec: { ...spec, labels: { 'gantry.instance': 'x' } } };
    expect(toInstanceContainer(foreign)).toBeUndefined();
  });
});

describe('containerId', () => {
  it('fits the engine, however long an instance lives', () => {
    const id = containerId('inst_00000000000000000000', 36 ** 6 - 1, 36 ** 6 - 1);
    expect(id).toMatch(/^[0-9a-z_]{1,40}$/);
  });
});
