import { EXIT_CODE } from '#libs/errors';
import { askStatus } from './control-client.ts';
import { describeStatus } from './status-report.ts';
import type { VerbContext } from './verb-context.ts';

/** Shows how the platform in the data folder is. Returns 0 only when every part of it serves. */
export async function status({ layout, output }: VerbContext): Promise<number> {
  const report = await askStatus(layout.controlSocket);
  if (!report) {
    output.result(
      { state: 'stopped', dataDir: layout.dataDir },
      `No platform runs in ${layout.dataDir}. Start it with \`gantry up\`; --data DIR names another folder.`,
    );
    return EXIT_CODE.unavailable;
  }
  output.result(report, describeStatus(report));
  return report.state === 'ready' ? 0 : EXIT_CODE.unavailable;
}
