import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import pc from 'picocolors';
import type { CliConfig } from './config.ts';
import { alignColumns, type Cell } from './text.ts';

export type InputStream = Readable & { isTTY?: boolean; setRawMode?: (mode: boolean) => unknown };
export type OutputStream = Writable & { isTTY?: boolean };

export interface TerminalStreams {
  stdin: InputStream;
  stdout: OutputStream;
  stderr: OutputStream;
}

const SPINNER_FRAMES = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';
const SPINNER_FRAME_MS = 80;
/** Nothing is drawn for what ends sooner. */
const SPINNER_DELAY_MS = 600;

/** The user's terminal: results go to stdout, everything about the work to stderr. */
export class Terminal {
  readonly stdin: InputStream;
  /** Colours for stdout and for stderr; plain functions when the stream is not a terminal. */
  readonly colors: ReturnType<typeof pc.createColors>;
  readonly errorColors: ReturnType<typeof pc.createColors>;
  readonly isTTY: boolean;
  /** A person is there to answer questions. */
  readonly isInteractive: boolean;
  /** `--json` was given: one document on stdout, and nothing but a JSON error on stderr. Set before a verb acts. */
  json = false;
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;
  #spinner: { timer: NodeJS.Timeout; drawn: boolean } | undefined;

  constructor(streams: TerminalStreams, color: CliConfig['color']) {
    this.stdin = streams.stdin;
    this.#stdout = streams.stdout;
    this.#stderr = streams.stderr;
    this.isTTY = streams.stdout.isTTY === true;
    this.isInteractive = streams.stdin.isTTY === true && streams.stderr.isTTY === true;
    const isColored = (stream: OutputStream) =>
      color === 'always' || (color === 'auto' && stream.isTTY === true);
    this.colors = pc.createColors(isColored(streams.stdout));
    this.errorColors = pc.createColors(isColored(streams.stderr));
  }

  /** Writes to stdout and waits while its reader is slow, so that endless output needs no endless memory. */
  async write(text: string): Promise<void> {
    this.stopSpinner();
    if (!this.#stdout.write(text) && !this.#stdout.destroyed) await once(this.#stdout, 'drain');
  }

  /** Writes to stdout and waits for nothing; for help, whose printer cannot wait. */
  writeNow(text: string): void {
    this.#stdout.write(text);
  }

  /** One line of the result, on stdout. */
  async print(line: string): Promise<void> {
    await this.write(`${line}\n`);
  }

  /** The result: the JSON document with `--json`, else what `text` prints. */
  async result(value: unknown, text: () => void | Promise<void>): Promise<void> {
    if (this.json) await this.print(JSON.stringify(value, null, 2));
    else await text();
  }

  /** Aligned columns under a dimmed header; `empty` instead when there are no rows. */
  async table(header: readonly string[], rows: readonly (readonly Cell[])[], empty: string): Promise<void> {
    if (rows.length === 0) return this.note(empty);
    const head = header.map((text) => ({ text, paint: this.colors.dim }));
    for (const line of alignColumns([head, ...rows])) await this.print(line);
  }

  /** A line about the work, on stderr; nothing with `--json`. */
  note(line: string): void {
    if (!this.json) this.error(line);
  }

  /** A line on stderr in any case. */
  error(line: string): void {
    this.stopSpinner();
    this.#stderr.write(`${line}\n`);
  }

  /** A question or anything else that stays on its line of stderr. */
  prompt(text: string): void {
    this.stopSpinner();
    this.#stderr.write(text);
  }

  /** Runs `work`; shows that it runs once it takes longer than a moment, where somebody looks. */
  async busy<T>(text: string, work: () => Promise<T>): Promise<T> {
    const isOutermost = this.startSpinner(text);
    try {
      return await work();
    } finally {
      if (isOutermost) this.stopSpinner();
    }
  }

  /** Starts a spinner on stderr, or returns false: it is no terminal, or one spins already. */
  startSpinner(text: string): boolean {
    if (this.json || this.#stderr.isTTY !== true || this.#spinner) return false;
    const startedAt = performance.now();
    let frame = 0;
    const draw = () => {
      if (performance.now() - startedAt < SPINNER_DELAY_MS) return;
      spinner.drawn = true;
      const seconds = Math.floor((performance.now() - startedAt) / 1000);
      const sign = SPINNER_FRAMES[frame++ % SPINNER_FRAMES.length] ?? '';
      this.#stderr.write(
        `\r\u001b[K${this.errorColors.cyan(sign)} ${text} ${this.errorColors.dim(`${seconds}s`)}`,
      );
    };
    const spinner = { timer: setInterval(draw, SPINNER_FRAME_MS), drawn: false };
    this.#spinner = spinner;
    return true;
  }

  stopSpinner(): void {
    if (!this.#spinner) return;
    clearInterval(this.#spinner.timer);
    if (this.#spinner.drawn) this.#stderr.write('\r\u001b[K');
    this.#spinner = undefined;
  }
}
