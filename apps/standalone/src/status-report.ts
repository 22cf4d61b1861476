import { z } from 'zod';

/** What a running `up` says of itself on its control socket. */
export const StatusReport = z.object({
  state: z.enum(['starting', 'ready', 'degraded', 'stopping']),
  pid: z.number().int(),
  dataDir: z.string(),
  url: z.string(),
  appsUrl: z.string(),
  domain: z.string(),
  httpPort: z.number().int(),
  uptimeMs: z.number(),
  children: z.array(
    z.object({
      name: z.string(),
      state: z.enum(['stopped', 'starting', 'up', 'backoff', 'stopping']),
      pid: z.number().int().nullable(),
      restarts: z.number().int(),
      uptimeMs: z.number(),
      lastEnd: z.string().nullable(),
    }),
  ),
  /** How long each step of the start took, in milliseconds. */
  timingsMs: z.record(z.string(), z.number()),
});

export type StatusReport = z.infer<typeof StatusReport>;

/** A table for people. */
export function describeStatus(report: StatusReport): string {
  const rows = report.children.map((child) => [
    child.name,
    child.state,
    child.pid === null ? '-' : String(child.pid),
    String(child.restarts),
    child.pid === null ? '-' : describeDuration(child.uptimeMs),
  ]);
  const table = [['PART', 'STATE', 'PID', 'RESTARTS', 'UP'], ...rows];
  const widths = [0, 1, 2, 3, 4].map((i) => Math.max(...table.map((row) => row[i]?.length ?? 0)));
  const lines = table.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const troubled = report.children.filter((child) => child.state === 'backoff' && child.lastEnd);
  return [
    `Gantry in ${report.dataDir} is ${report.state}`,
    `  API   ${report.url}`,
    `  Apps  ${report.appsUrl}`,
    '',
    ...lines,
    ...troubled.flatMap((child) => ['', `${child.name}: ${child.lastEnd}`]),
  ].join('\n');
}

export function describeDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h${Math.floor((seconds % 3_600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${Math.floor((seconds % 86_400) / 3_600)}h`;
}
