import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { RouterReport, type RouteTable } from '#libs/contract';

/** The control plane's side of the routers' long poll, and nothing else of it. */
export class ControlPlaneStub {
  readonly reports: RouterReport[] = [];
  readonly tokens = new Set<string | undefined>();
  #table: RouteTable | undefined;
  readonly #waiting = new Set<{ report: RouterReport; response: http.ServerResponse }>();
  readonly #server = http.createServer((request, response) => void this.#serve(request, response));
  url = '';

  static async start(port = 0): Promise<ControlPlaneStub> {
    const stub = new ControlPlaneStub();
    stub.#server.listen(port, '127.0.0.1');
    await once(stub.#server, 'listening');
    stub.url = `http://127.0.0.1:${(stub.#server.address() as AddressInfo).port}`;
    return stub;
  }

  publish(table: RouteTable): void {
    this.#table = table;
    for (const { report, response } of this.#waiting) {
      if (report.appliedVersion !== table.version) response.end(JSON.stringify(table));
    }
  }

  /** Polls that are waiting for news. */
  get waiting(): RouterReport[] {
    return [...this.#waiting].map(({ report }) => report);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, 'close');
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    this.tokens.add(request.headers.authorization);
    let body = '';
    for await (const chunk of request) body += chunk;
    const report = RouterReport.parse(JSON.parse(body));
    this.reports.push(report);
    response.setHeader('content-type', 'application/json');
    if (this.#table && report.appliedVersion !== this.#table.version) {
      response.end(JSON.stringify(this.#table));
      return;
    }
    const waiter = { report, response };
    this.#waiting.add(waiter);
    response.on('close', () => this.#waiting.delete(waiter));
  }
}
