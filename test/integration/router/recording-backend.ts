import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import net from 'node:net';

export interface BackendRequest {
  head: string;
  body: string;
  socket: net.Socket;
}

/**
 * An app on a raw socket that keeps every byte it gets. It answers each complete message by `respond`, 200 with
 * `ok` unless told.
 */
export class RecordingBackend {
  /** Bytes of each connection, in the order of their opening. */
  readonly seen: string[] = [];
  respond: (request: BackendRequest) => void = ({ socket }) =>
    void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  readonly sockets = new Set<net.Socket>();
  port = 0;
  readonly #server = net.createServer((socket) => this.#serve(socket));

  static async start(): Promise<RecordingBackend> {
    const backend = new RecordingBackend();
    backend.#server.listen(0, '127.0.0.1');
    await once(backend.#server, 'listening');
    backend.port = (backend.#server.address() as AddressInfo).port;
    return backend;
  }

  /** All bytes of all connections, with what differs between runs replaced. */
  get bytes(): string {
    return this.seen
      .join('')
      .replace(/X-Request-Id: [0-9a-f-]{36}\r\n/g, 'X-Request-Id: ID\r\n')
      .replace(/X-Request-Start: t=\d{13}\r\n/g, 'X-Request-Start: t=MS\r\n');
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, 'close');
  }

  #serve(socket: net.Socket): void {
    const at = this.seen.push('') - 1;
    let unread = '';
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});
    socket.on('data', (data) => {
      const text = data.toString('latin1');
      this.seen[at] += text;
      unread += text;
      for (let end = messageEnd(unread); end >= 0; end = messageEnd(unread)) {
        const message = unread.slice(0, end);
        unread = unread.slice(end);
        const bodyAt = message.indexOf('\r\n\r\n') + 4;
        this.respond({ head: message.slice(0, bodyAt), body: message.slice(bodyAt), socket });
      }
    });
  }
}

/** Good enough for what the router may send on: one framing, canonical. */
function messageEnd(text: string): number {
  const bodyAt = text.indexOf('\r\n\r\n') + 4;
  if (bodyAt < 4) return -1;
  const head = text.slice(0, bodyAt);
  const length = /\r\nContent-Length: (\d+)\r\n/.exec(head);
  if (length) return text.length >= bodyAt + Number(length[1]) ? bodyAt + Number(length[1]) : -1;
  if (!/\r\nTransfer-Encoding: chunked\r\n/.test(head)) return bodyAt;
  const last = /(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(text.slice(bodyAt));
  return last ? bodyAt + last.index + last[0].length : -1;
}
