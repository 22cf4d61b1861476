// Prints the newest version that satisfies a range. Arguments: the range, a file with a JSON list of versions.
const { readFileSync } = require('node:fs');
const semver = require('/opt/node/lib/node_modules/npm/node_modules/semver');

const [, , range, file] = process.argv;
const versions = [JSON.parse(readFileSync(file, 'utf8'))]
  .flat()
  .filter((version) => typeof version === 'string');
// Even majors have long-term support; an odd one is taken only when the range leaves no other.
const fitting = versions.filter((version) => semver.satisfies(version, range));
const supported = fitting.filter((version) => semver.major(version) % 2 === 0);
const best = semver.rsort(supported.length ? supported : fitting)[0];
if (!best) {
  process.stderr.write(
    ` !     No Node.js satisfies engines.node ${JSON.stringify(range)}; the newest are: ${semver.rsort(versions).slice(0, 3).join(', ')}.\n`,
  );
  process.exit(1);
}
process.stdout.write(`${best}\n`);
