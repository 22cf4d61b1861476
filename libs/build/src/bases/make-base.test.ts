import { describe, expect, it } from 'vitest';
import { makeError } from './make-base.ts';

describe('makeError', () => {
  it('says what could not be reached', () => {
    const error = makeError('run', [
      'I: chroot',
      'Err:1 http://mirror.example/debian bookworm InRelease',
      "  Could not resolve 'mirror.example'",
      'E: apt-get update failed',
    ]);
    expect(error).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('mirror.example'),
      hint: expect.stringContaining('mirror'),
    });
  });

  it('shows the last lines of any other failure', () => {
    expect(makeError('build', ['I: one', 'E: dpkg failed'])).toMatchObject({
      code: 'internal',
      message: expect.stringContaining('dpkg failed'),
    });
  });
});
