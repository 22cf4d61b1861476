import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';

export type Logger = PinoLogger;
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LoggerOptions {
  /** The process or part that speaks, e.g. `agent`. */
  name: string;
  level?: LogLevel;
  /** Where lines go; standard output unless told. */
  destination?: DestinationStream;
}

/** A logger of JSON lines: `{"level","time","name","msg",…}`; never logs tokens or credentials. */
export function createLogger({ name, level = 'info', destination }: LoggerOptions): Logger {
  const options = {
    name,
    level,
    base: { name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: ['token', '*.token', 'password', '*.password', 'headers.authorization'],
  };
  return destination ? pino(options, destination) : pino(options);
}

/** A logger that says nothing, for tests. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
