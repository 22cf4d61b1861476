import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FRAMING_CASES } from './framing-cases.ts';
import { exchangeRaw, RawClient } from './raw-client.ts';
import { RecordingBackend } from './recording-backend.ts';
import { type RunningRouter, startRouter } from './test-router.ts';

let backend: RecordingBackend;
let running: RunningRouter;

beforeAll(async () => {
  backend = await RecordingBackend.start();
});
afterAll(() => backend.stop());

beforeEach(async () => {
  running = await startRouter([{ host: 'a.test', ports: [backend.port] }]);
  backend.seen.length = 0;
  return () => running.stop();
});

describe('request framing, byte by byte', () => {
  it.each(FRAMING_CASES)('$name → $status', async ({ send, status, app = '' }) => {
    const client = await exchangeRaw(running.port, send);
    expect(client.statuses).toEqual(status);
    expect(backend.bytes).toBe(app);
  });

  it.each(FRAMING_CASES.filter(({ send }) => send.length < 2_000))(
    '$name → the same when it comes one byte at a time',
    async ({ send, status, app = '' }) => {
      const client = await RawClient.connect(running.port);
      for (const byte of send) {
        if (client.ended || client.closed) break;
        await new Promise<void>((resolve) =>
          client.socket.write(byte, 'latin1', () => setImmediate(resolve)),
        );
      }
      await client.untilClosed();
      client.destroy();
      expect(client.statuses).toEqual(status);
      // a body that turns out to be malformed may have begun to go on, but is never completed
      if (status.length === 1 && status[0] !== 200 && backend.bytes !== '') {
        expect(backend.bytes).not.toMatch(/\r\n\r\n(?:.*\r\n)?0\r\n(?:[^\r\n]+\r\n)*\r\n$/s);
      } else expect(backend.bytes).toBe(app);
    },
  );

  it('has at least 100 cases', () => {
    expect(FRAMING_CASES.length).toBeGreaterThanOrEqual(100);
  });
});
