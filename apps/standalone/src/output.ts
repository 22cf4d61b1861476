import { type PlatformError, toPlatformError } from '#libs/errors';
import { describeProgress, type ProgressEvent } from './progress.ts';

/** What a verb says: text for people, or with `--json` one document on stdout and errors as JSON on stderr. */
export class Output {
  readonly #json: boolean;

  constructor(json: boolean) {
    this.#json = json;
    // a terminal that went away must not end the platform; SIGHUP does that, in order
    process.stdout.on('error', () => {});
    process.stderr.on('error', () => {});
  }

  line(text: string): void {
    if (!this.#json) process.stdout.write(`${text}\n`);
  }

  progress(event: ProgressEvent): void {
    this.line(describeProgress(event));
  }

  /** The verb's result. */
  result(value: unknown, text: string): void {
    process.stdout.write(this.#json ? `${JSON.stringify(value)}\n` : `${text}\n`);
  }

  error(error: unknown): PlatformError {
    const problem = toPlatformError(error);
    const { code, message, hint } = problem;
    const text = hint === undefined ? `error: ${message}` : `error: ${message}\nhint: ${hint}`;
    process.stderr.write(
      this.#json ? `${JSON.stringify({ error: { code, message, hint: hint ?? null } })}\n` : `${text}\n`,
    );
    return problem;
  }
}
