import http from 'node:http';

export interface Answer {
  status: number;
  body: string;
  headers: http.IncomingHttpHeaders;
}

export interface RequestOptions {
  path?: string;
  agent?: http.Agent;
  method?: string;
  body?: string;
  headers?: Record<string, string>;
}

/** One request to an app of a platform on this machine. */
export function ask(port: number, host: string, options: RequestOptions = {}): Promise<Answer> {
  const { path = '/', agent, method = 'GET', body, headers = {} } = options;
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host: '127.0.0.1',
        port,
        path,
        method,
        headers: { host, ...headers },
        ...(agent ? { agent } : { agent: false }),
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: text, headers: response.headers }),
        );
        response.on('error', reject);
      },
    );
    request.setTimeout(20_000, () => request.destroy(new Error('no answer within 20 s')));
    request.on('error', reject);
    request.end(body);
  });
}

/** Requests that flow without a pause, half of them on kept-alive connections, until stopped. */
export class Traffic {
  readonly bodies = new Map<string, number>();
  readonly failures: string[] = [];
  total = 0;
  #running = true;
  readonly #kept = new http.Agent({ keepAlive: true });
  readonly #lanes: Promise<void>[];

  constructor(
    private readonly port: number,
    private readonly host: string,
    lanes = 4,
    private readonly request: RequestOptions = {},
  ) {
    this.#lanes = Array.from({ length: lanes }, (_, i) => this.#run(i % 2 ? this.#kept : undefined));
  }

  async stop(): Promise<this> {
    this.#running = false;
    await Promise.all(this.#lanes);
    this.#kept.destroy(); // not earlier: it cuts what other lanes still wait for (`socket hang up`)
    return this;
  }

  async #run(agent: http.Agent | undefined): Promise<void> {
    while (this.#running) {
      this.total++;
      try {
        const { status, body } = await ask(this.port, this.host, {
          ...this.request,
          ...(agent ? { agent } : {}),
        });
        if (status === 200) this.bodies.set(body, (this.bodies.get(body) ?? 0) + 1);
        else this.failures.push(`${status} ${body.slice(0, 80)}`);
      } catch (error) {
        this.failures.push(String(error));
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
