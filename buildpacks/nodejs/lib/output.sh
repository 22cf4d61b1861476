# How a buildpack speaks.
say() { printf -- '-----> %s\n' "$*"; }
detail() { printf '       %s\n' "$*"; }
fail() {
  printf ' !     %s\n' "$@"
  exit 1
}
# Runs a command with its output indented; its exit code is kept.
indented() { "$@" 2>&1 | sed -u 's/^/       /'; }
