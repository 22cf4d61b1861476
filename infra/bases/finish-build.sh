#!/bin/sh
# mmdebstrap customize hook of the build image. $1: the root folder.
# GANTRY_NODE_BINARY and GANTRY_NPM_FOLDER: the host's Node.js and npm, which build steps start from.
set -eu
root=$1
here=$(dirname "$(readlink -f "$0")")
mkdir -p "$root/opt/node/bin" "$root/opt/node/lib/node_modules"
install -m 755 "$GANTRY_NODE_BINARY" "$root/opt/node/bin/node"
cp -rL "$GANTRY_NPM_FOLDER" "$root/opt/node/lib/node_modules/npm"
rm -rf "$root/opt/node/lib/node_modules/npm/docs" "$root/opt/node/lib/node_modules/npm/man"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/opt/node/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/opt/node/bin/npx"
chown -R 0:0 "$root/opt/node"
chmod -R u+rwX,go+rX,go-w "$root/opt/node"
"$here/trim.sh" "$root"
