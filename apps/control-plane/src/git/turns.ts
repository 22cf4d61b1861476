export interface Turn {
  /** Tells those who wait, now and later, what they wait for. */
  announce(what: string): void;
  /** Lets the next one go. Harmless when repeated. */
  end(): void;
}

interface Waiter {
  start: () => void;
  onWait: (what: string) => void;
}

interface Line {
  doing: string | undefined;
  waiters: Waiter[];
}

/** First come, first served, by key: one at a time has the turn. */
export class Turns {
  readonly #lines = new Map<string, Line>();

  /** Resolves when it is our turn. `onWait` hears what is waited for. Rejects with the signal's reason. */
  async take(key: string, options: { onWait: (what: string) => void; signal: AbortSignal }): Promise<Turn> {
    const { onWait, signal } = options;
    signal.throwIfAborted();
    const line = this.#lines.get(key);
    if (!line) {
      const own: Line = { doing: undefined, waiters: [] };
      this.#lines.set(key, own);
      return this.#turn(key, own);
    }
    if (line.doing) onWait(line.doing);
    await waitIn(line, onWait, signal);
    return this.#turn(key, line);
  }

  #turn(key: string, line: Line): Turn {
    let ended = false;
    return {
      announce: (what) => {
        if (ended) return;
        line.doing = what;
        for (const waiter of line.waiters) waiter.onWait(what);
      },
      end: () => {
        if (ended) return;
        ended = true;
        line.doing = undefined;
        const next = line.waiters.shift();
        if (next) next.start();
        else this.#lines.delete(key);
      },
    };
  }
}

function waitIn(line: Line, onWait: Waiter['onWait'], signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      line.waiters = line.waiters.filter((other) => other !== waiter);
      reject(signal.reason);
    };
    const start = () => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    const waiter: Waiter = { start, onWait };
    line.waiters.push(waiter);
    signal.addEventListener('abort', leave, { once: true });
  });
}
