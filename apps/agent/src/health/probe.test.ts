import net, { type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tcpProbe } from './probe.ts';

let server: net.Server;
let target: { host: string; port: number };

beforeEach(async () => {
  server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  target = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
});
afterEach(async () => {
  if (server.listening) await new Promise((resolve) => server.close(resolve));
});

/** As when the machine gives this process no time: nothing runs here, and the kernel goes on. */
function starve(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('tcpProbe', () => {
  it('is true where somebody listens, false where nobody does', async () => {
    expect(await tcpProbe(target, 1_000)).toBe(true);
    await new Promise((resolve) => server.close(resolve));
    expect(await tcpProbe(target, 1_000)).toBe(false);
  });

  it('does not take the lateness of the agent itself for the instance’s', async () => {
    await new Promise((resolve) => setImmediate(resolve)); // timers are what the event loop comes to next
    const answer = tcpProbe(target, 50);
    process.nextTick(starve, 200); // the kernel makes the connection meanwhile
    expect(await answer).toBe(true);
  });
});
