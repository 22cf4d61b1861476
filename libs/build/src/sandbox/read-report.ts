import path from 'node:path';
import { listInside, readTextInside } from '../read-inside.ts';

const MAX_REPORT_BYTES = 64 << 10;

export interface Report {
  /** Buildpacks that took part, in order. */
  group: string[];
  /** Milliseconds by stage. */
  timings: Record<string, number>;
  /** The step that failed, with its exit code when it told one. */
  failed: { stage: string; buildpack?: string; code?: number } | undefined;
}

/** What lifecycle.sh wrote into `<layers>/lifecycle`. A hostile step can forge it, and harms its own build only. */
export async function readReport(layers: string): Promise<Report> {
  const known = new Set(await listInside(layers, '', 1000));
  const read = async (name: string) =>
    (await readTextInside(layers, path.join('lifecycle', name), MAX_REPORT_BYTES)) ?? '';
  const group = (await read('group')).split('\n').filter((id) => known.has(id) && id !== 'lifecycle');
  const report: Report = { group: [...new Set(group)], timings: {}, failed: undefined };
  for (const line of (await read('events')).split('\n')) {
    // Numbers of few digits: a longer one would be no number any more in the JSON of the build's result.
    const [, stage = '', buildpack, failed, code, ms] =
      /^(extract|detect|build)(?: ([a-z0-9-]+?))??(?: (failed)(?: (\d{1,3}))?)? (\d{1,9})$/.exec(line) ?? [];
    if (!stage) continue;
    report.timings[stage] = (report.timings[stage] ?? 0) + Number(ms);
    if (failed)
      report.failed = { stage, ...(buildpack ? { buildpack } : {}), ...(code ? { code: Number(code) } : {}) };
  }
  return report;
}
