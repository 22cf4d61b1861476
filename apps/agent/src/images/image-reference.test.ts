import { describe, expect, it } from 'vitest';
import { DIGEST } from '../testing/desired.ts';
import { toPullOptions } from './image-reference.ts';

const controlPlane = { url: 'http://127.0.0.1:8081', token: 'secret' };

describe('toPullOptions', () => {
  it("pulls the platform's images from the control plane, with the node's token", () => {
    expect(
      toPullOptions({ repository: 'app_x/app', digest: DIGEST, source: 'platform' }, controlPlane),
    ).toEqual({
      reference: `127.0.0.1:8081/app_x/app@${DIGEST}`,
      auth: { token: 'secret' },
      insecure: true,
    });
  });

  it.each([
    'registry.test:5000/team/web',
    'registry.test:5000/team/web:1.2',
    `registry.test:5000/team/web:1@${DIGEST}`,
  ])('pulls %s by digest, and never shows the token to others', (repository) => {
    expect(toPullOptions({ repository, digest: DIGEST, source: 'external' }, controlPlane)).toEqual({
      reference: `registry.test:5000/team/web@${DIGEST}`,
      reach: 'outside',
    });
  });
});
