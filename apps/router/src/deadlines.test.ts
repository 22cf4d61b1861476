import net, { type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Deadlines } from './deadlines.ts';
import { UpstreamConnection } from './upstream-connection.ts';

let deadlines: Deadlines;
let server: net.Server;

beforeEach(async () => {
  deadlines = new Deadlines(5);
  server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  deadlines.stop();
  await new Promise((resolve) => server.close(resolve));
});

/** As when the machine gives this process no time: nothing runs here, and the kernel goes on. */
function starve(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('Deadlines', () => {
  it('calls what is late, once its tick has come', async () => {
    const late = Promise.withResolvers<void>();
    const watched = { deadlineAt: performance.now() + 10, onDeadline: late.resolve };
    deadlines.watch(watched);
    await late.promise;
    expect(performance.now()).toBeGreaterThanOrEqual(watched.deadlineAt);
    deadlines.forget(watched);
  });

  it('does not blame an instance for the time in which the router itself was kept from running', async () => {
    const { port } = server.address() as AddressInfo;
    const owner = { onConnectionClosed: () => {} };
    const services = { owner, deadlines, limits: { connectMs: 50 } };
    const connected = Promise.withResolvers<Error | undefined>();
    await new Promise((resolve) => setImmediate(resolve)); // timers are what the event loop comes to next
    const connection = new UpstreamConnection({ host: '127.0.0.1', port }, services, connected.resolve);
    process.nextTick(starve, 200); // the kernel makes the connection meanwhile
    expect(await connected.promise).toBeUndefined();
    connection.destroy();
  });
});
