// Reads the app's package.json and lockfile and says, in one run of Node.js, all that bin/build has to know.
// Prints `name=value` lines; values hold no line breaks. A problem is printed to stderr and ends with 1.
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const MAX_MANIFEST_BYTES = 1 << 20;
const MAX_LOCKFILE_BYTES = 64 << 20;
const DEFAULT_NODE = '24.x';
/** Scripts of the app itself that an install runs; what they do may depend on any file of the app. */
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall', 'prepare'];
const DEPENDENCY_FIELDS = [
  'dependencies',
  'devDependencies',
  'optionalDependencies',
  'peerDependencies',
  'peerDependenciesMeta',
  'bundleDependencies',
  'bundledDependencies',
  'overrides',
  'resolutions',
  'pnpm',
  'engines',
  'packageManager',
  'workspaces',
];
const LOCKFILES = [
  ['npm', 'package-lock.json'],
  ['npm', 'npm-shrinkwrap.json'],
  ['pnpm', 'pnpm-lock.yaml'],
  ['yarn', 'yarn.lock'],
];

function fail(...lines) {
  for (const line of lines) process.stderr.write(` !     ${line}\n`);
  process.exit(1);
}

function readText(file, maxBytes) {
  const { size } = lstatSync(file);
  if (!lstatSync(file).isFile()) fail(`${file} is not a plain file.`);
  if (size > maxBytes) fail(`${file} is larger than ${maxBytes >> 20} MiB.`);
  return readFileSync(file, 'utf8');
}

function readManifest() {
  let value;
  try {
    value = JSON.parse(readText('package.json', MAX_MANIFEST_BYTES));
  } catch (error) {
    fail(`package.json is not valid JSON: ${String(error.message).split('\n')[0]}`);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    fail('package.json is not a JSON object.');
  return value;
}

const text = (value) => (typeof value === 'string' ? value.trim() : '');
const manifest = readManifest();
const scripts = manifest.scripts && typeof manifest.scripts === 'object' ? manifest.scripts : {};
const locks = LOCKFILES.filter(([, file]) => existsSync(file));
const managers = new Set(locks.map(([manager]) => manager));
if (managers.size > 1) {
  fail(
    `There are lockfiles of several package managers: ${locks.map(([, file]) => file).join(', ')}.`,
    'Remove all but the one of the package manager that you use.',
  );
}

const declared = /^(npm|pnpm|yarn)@(\d+[0-9A-Za-z.-]*)/.exec(text(manifest.packageManager));
const manager = locks[0]?.[0] ?? declared?.[1] ?? 'npm';
const lockfile = locks[0]?.[1] ?? '';
const managerVersion = declared?.[1] === manager ? declared[2] : '';
const node = text(manifest.engines?.node) || DEFAULT_NODE;
if (/[\r\n]/.test(node) || node.length > 200) fail('package.json: engines.node is no version range.');

/** The build image's own Node.js when it satisfies the range: it is there, and every app shares its layer. Else ''. */
function ownNode() {
  const own = process.versions.node;
  const semver = createRequire(process.execPath)('../lib/node_modules/npm/node_modules/semver');
  if (semver.validRange(node) === null)
    fail(`package.json: engines.node ${JSON.stringify(node)} is no version range.`);
  return semver.satisfies(own, node) ? own : '';
}

const hasBuild = text(scripts.build) !== '';
const hasInstallScript = INSTALL_SCRIPTS.some((name) => text(scripts[name]) !== '');
const isWorkspace = manifest.workspaces !== undefined || existsSync('pnpm-workspace.yaml');

const hash = createHash('sha256');
for (const field of DEPENDENCY_FIELDS) hash.update(`${field}\0${JSON.stringify(manifest[field]) ?? ''}\0`);
hash.update(lockfile ? readText(lockfile, MAX_LOCKFILE_BYTES) : 'none');
for (const file of ['.npmrc', '.yarnrc.yml', '.yarnrc', '.pnpmfile.cjs']) {
  if (existsSync(file)) hash.update(`\0${file}\0`).update(readText(file, MAX_MANIFEST_BYTES));
}

/** `npm start` without npm, where the script is one plain call of node: one process less, and signals reach the app. */
function startCommand() {
  const start = text(scripts.start);
  if (start === '') return existsSync('server.js') ? ['node', 'server.js'] : [];
  const plain =
    /^node(\s+[\w./:=@,+-]+)+$/.test(start) && !text(scripts.prestart) && !text(scripts.poststart);
  return plain ? start.split(/\s+/) : ['npm', 'start'];
}

const values = {
  manager,
  manager_version: managerVersion,
  lockfile,
  node_range: node,
  node_version: ownNode(),
  node_range_is_default: text(manifest.engines?.node) === '',
  has_build: hasBuild,
  workspace: isWorkspace,
  install_dev: hasBuild || hasInstallScript,
  // Whether an unchanged key means unchanged modules: not with scripts of the app, nor with modules in several folders.
  reusable: !hasInstallScript && !isWorkspace,
  dependencies_key: hash.digest('hex'),
  start: JSON.stringify(startCommand()),
};
for (const [name, value] of Object.entries(values)) process.stdout.write(`${name}=${value}\n`);
