import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';

/** libs/engine/src/kernel/names.ts: everything that the platform makes in the kernel has one of these in its name. */
const INSTALLATION_NAME = /gantry[-_][0-9a-z]{5}(?![0-9a-z])/;
const LINK_NAME = /^gt[0-9a-z]{5}/;
/** Processes of a test run inherit this variable; containers' do not, but they are in the platform's cgroups. */
export const RUN_VARIABLE = 'GANTRY_TEST_RUN';

export interface TestRun {
  /** Value of RUN_VARIABLE. */
  id: string;
  /** Every temporary folder of the tests is in here. */
  folder: string;
}

/** What Gantry has in the kernel of this machine, one line each; for a comparison of before and after. */
export function observeKernel(): Set<string> {
  return new Set([
    ...cgroups().map((name) => `cgroup ${name}`),
    ...list('/sys/class/net')
      .filter((name) => LINK_NAME.test(name))
      .map((name) => `link ${name}`),
    ...list('/run')
      .filter((name) => INSTALLATION_NAME.test(name))
      .map((name) => `folder /run/${name}`),
    ...list('/run/netns').map((name) => `netns ${name}`),
    ...tables().map((name) => `nft ${name}`),
    ...mountPoints()
      .filter((point) => INSTALLATION_NAME.test(point))
      .map((point) => `mount ${point}`),
  ]);
}

/** Mounts and processes that a test run has left. */
export function observeRun({ id, folder }: TestRun): string[] {
  const mounts = mountPoints().filter((point) => point.startsWith(`${folder}/`));
  return [...mounts.map((point) => `mount ${point}`), ...strayProcesses(id, folder)];
}

function strayProcesses(id: string, folder: string): string[] {
  return list('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    const commandLine = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
    const isMarked = read(`/proc/${pid}/environ`).split('\0').includes(`${RUN_VARIABLE}=${id}`);
    const isInside =
      `${link(`/proc/${pid}/cwd`)}/`.startsWith(`${folder}/`) || commandLine.includes(`${folder}/`);
    return isMarked || isInside ? [`process ${pid} ${commandLine.slice(0, 200)}`] : [];
  });
}

function cgroups(): string[] {
  const roots = [
    '/sys/fs/cgroup',
    ...list('/sys/fs/cgroup').map((name) => path.join('/sys/fs/cgroup', name)),
  ];
  const names = roots.flatMap((root) => list(root).filter((name) => INSTALLATION_NAME.test(name)));
  return [...new Set(names)];
}

function tables(): string[] {
  const { stdout } = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' });
  return (stdout ?? '').split('\n').filter((line) => INSTALLATION_NAME.test(line));
}

function mountPoints(): string[] {
  return read('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the process or mount is gone
  }
}

function link(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
}
