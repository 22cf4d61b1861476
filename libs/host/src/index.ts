export { beneath } from './beneath.ts';
export { type Clock, FakeClock, systemClock } from './clock.ts';
export { DiskReserve, type DiskSpace, diskSpace, isDiskLow } from './disk-reserve.ts';
export { readFileIfExists, syncFolder, writeFileDurably } from './durable-file.ts';
export { type Exec, type RunOptions, type RunResult, systemExec } from './exec.ts';
export { randomSecret, randomText } from './random.ts';
