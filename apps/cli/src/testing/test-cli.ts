import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { systemClock, systemExec } from '#libs/host';
import type { Cli } from '../cli.ts';
import { loadConfig } from '../config.ts';
import { Logins } from '../logins.ts';
import { runCli } from '../run.ts';
import { Terminal } from '../terminal.ts';

export interface CliRun {
  code: number;
  stdout: string;
  stderr: string;
}

export interface TestCliOptions {
  env?: NodeJS.ProcessEnv;
  /** What standard input holds; a terminal that types it when `interactive`. */
  input?: string;
  interactive?: boolean;
  cwd?: string;
  signal?: AbortSignal;
  command?: readonly string[];
  /** Called with everything that arrives on stdout. */
  onStdout?: (text: string) => void;
}

/** The CLI in this process, with its own home in a temporary folder. */
export class TestCli {
  /** Calls of `become`. */
  readonly became: string[][] = [];

  private constructor(readonly home: string) {}

  static async create(): Promise<TestCli> {
    const home = await mkdtemp(path.join(tmpdir(), 'gantry-cli-test-'));
    await mkdir(path.join(home, 'work'));
    return new TestCli(home);
  }

  async remove(): Promise<void> {
    await rm(this.home, { recursive: true, force: true });
  }

  /** An empty folder that is no git work tree. */
  get folder(): string {
    return path.join(this.home, 'work');
  }

  get env(): NodeJS.ProcessEnv {
    return { HOME: this.home, GANTRY_DATA: path.join(this.home, 'data') };
  }

  get logins(): Logins {
    return new Logins(loadConfig(this.env).configDir);
  }

  /** Writes what `gantry up` leaves in its data folder. */
  async writeAdminFile(url: string, token: string): Promise<void> {
    await mkdir(path.join(this.home, 'data'), { recursive: true });
    const content = { url, token, domain: 'gantry.localhost', httpPort: 8080, dockerSocket: '/nowhere' };
    await writeFile(path.join(this.home, 'data', 'admin.json'), JSON.stringify(content), { mode: 0o600 });
  }

  async run(args: readonly string[], options: TestCliOptions = {}): Promise<CliRun> {
    const [stdout, stderr] = [collect(options), collect(options)];
    const code = await runCli(args, this.build(options, stdout.stream, stderr.stream));
    return { code, stdout: stdout.text(), stderr: stderr.text() };
  }

  build(options: TestCliOptions, stdout: PassThrough, stderr: PassThrough): Cli {
    const config = loadConfig({ ...this.env, ...options.env });
    const stdin = Object.assign(new PassThrough(), { isTTY: options.interactive === true });
    if (options.interactive) stdin.write(options.input ?? '');
    else stdin.end(options.input ?? '');
    return {
      config,
      terminal: new Terminal({ stdin, stdout, stderr }, config.color),
      exec: systemExec,
      clock: systemClock,
      installation: {
        version: '1.2.3',
        command: options.command ?? ['/opt/gantry/gantry'],
        standaloneMain: '/opt/gantry/dist/apps/standalone/src/main.js',
      },
      cwd: options.cwd ?? this.folder,
      signal: options.signal ?? new AbortController().signal,
      become: (file, become) => void this.became.push([file, ...become]),
    };
  }
}

function collect(options: TestCliOptions): { stream: PassThrough; text(): string } {
  const stream = Object.assign(new PassThrough(), { isTTY: options.interactive === true });
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    options.onStdout?.(text);
  });
  return { stream, text: () => text };
}
