import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Where this Gantry lies on the disk. */
export interface Installation {
  version: string;
  /** The `gantry` script of the checkout, and what else it takes to run the CLI when there is no script. */
  command: readonly string[];
  /** Entry of `apps/standalone`, which runs and stops a whole platform. */
  standaloneMain: string;
}

/**
 * Finds the installation that `mainFile` (the CLI's entry, in `dist` or in the sources) belongs to: the nearest folder
 * above it with a package.json.
 */
export function findInstallation(mainFile: string): Installation {
  let root = path.dirname(mainFile);
  while (!existsSync(path.join(root, 'package.json')) && path.dirname(root) !== root)
    root = path.dirname(root);
  const script = path.join(root, 'gantry');
  return {
    version: readVersion(path.join(root, 'package.json')),
    command: existsSync(script) ? [script] : [process.execPath, mainFile],
    standaloneMain: path.resolve(path.dirname(mainFile), '../../standalone/src/main.js'),
  };
}

function readVersion(file: string): string {
  const content: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (typeof content === 'object' && content !== null && 'version' in content) return String(content.version);
  return 'unknown';
}
