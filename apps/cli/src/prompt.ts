import { createInterface } from 'node:readline/promises';
import { PlatformError } from '#libs/errors';
import type { Cli } from './cli.ts';

/** No token is longer; more than this on standard input is something else. */
const MAX_SECRET_BYTES = 4_096;

/** Asks on stderr and returns the answer without its line end. Call only where somebody can answer. */
export async function askLine(cli: Cli, question: string): Promise<string> {
  cli.terminal.prompt(question);
  const lines = createInterface({ input: cli.terminal.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    return await lines.question('', { signal: cli.signal });
  } finally {
    lines.close();
  }
}

/** Asks on stderr for a secret and reads it without showing it. Ctrl-C rejects like an aborted `cli.signal`. */
export async function askSecret(cli: Cli, question: string): Promise<string> {
  const { stdin } = cli.terminal;
  cli.terminal.prompt(question);
  stdin.setRawMode?.(true);
  try {
    let typed = '';
    for await (const chunk of stdin) {
      for (const character of String(chunk)) {
        if (character === '\r' || character === '\n' || character === '\u0004') return typed;
        if (character === '\u0003') throw new DOMException('interrupted', 'AbortError');
        if (character === '\u007f' || character === '\b') typed = typed.slice(0, -1);
        else typed += character;
      }
      if (typed.length > MAX_SECRET_BYTES) throw tooLong();
    }
    return typed;
  } finally {
    stdin.setRawMode?.(false);
    cli.terminal.prompt('\n');
  }
}

/** The first line of standard input that is not a terminal. */
export async function readSecret(cli: Cli): Promise<string> {
  let text = '';
  for await (const chunk of cli.terminal.stdin) {
    text += String(chunk);
    if (text.length > MAX_SECRET_BYTES) throw tooLong();
    if (text.includes('\n')) break;
  }
  return text.split('\n', 1)[0]?.trim() ?? '';
}

function tooLong(): PlatformError {
  return new PlatformError('too_large', `what was read as a token is longer than ${MAX_SECRET_BYTES} bytes`, {
    hint: 'Give the token alone, on one line.',
  });
}
