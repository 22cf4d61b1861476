import { once } from 'node:events';
import net from 'node:net';

/** A client that sends bytes as they are and keeps what comes back. */
export class RawClient {
  received = '';
  /** The router has closed its side in order. */
  ended = false;
  /** The connection is gone. */
  closed = false;
  reset = false;
  readonly socket: net.Socket;

  private constructor(port: number) {
    this.socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.socket.on('data', (data) => {
      this.received += data.toString('latin1');
    });
    this.socket.on('end', () => {
      this.ended = true;
    });
    this.socket.on('close', () => {
      this.closed = true;
    });
    this.socket.on('error', () => {
      this.reset = true;
    });
  }

  static async connect(port: number): Promise<RawClient> {
    const client = new RawClient(port);
    await once(client.socket, 'connect');
    return client;
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** Resolves when `condition` holds; looks at each event of the socket. */
  async until(condition: (client: this) => boolean, what = 'the condition'): Promise<void> {
    const deadline = AbortSignal.timeout(20_000);
    while (!condition(this)) {
      const turn = new AbortController();
      const signal = AbortSignal.any([turn.signal, deadline]);
      const events = ['data', 'end', 'close'].map((event) =>
        once(this.socket, event, { signal }).catch(() => {}),
      );
      await Promise.race(events);
      turn.abort();
      if (deadline.aborted) throw new Error(`${what} did not come true; received:\n${this.received}`);
    }
  }

  /** Resolves when the router has closed the connection. */
  async untilClosed(): Promise<void> {
    await this.until((client) => client.ended || client.closed, 'the end of the connection');
  }

  /** Status codes of the responses received so far; bodies must not look like status lines. */
  get statuses(): number[] {
    return [...this.received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Sends `bytes` on a new connection, waits for the router to close it, and returns everything. */
export async function exchangeRaw(port: number, bytes: string): Promise<RawClient> {
  const client = await RawClient.connect(port);
  client.send(bytes);
  await client.untilClosed();
  client.destroy();
  return client;
}
