# The layers `modules` (mounted at /workspace/node_modules) and, with a build script, `pruned-modules`: what is left of
# it without development dependencies.

provide_modules() {
  local key="$version:$node_version:${plan[install_dev]}:${plan[dependencies_key]}"
  local metadata=$layers/modules.toml launch=true
  [[ ${plan[install_dev]} == false ]] || launch=false
  if [[ ${plan[reusable]} == true ]] && grep -qsx "key = \"$key\"" "$metadata"; then
    detail 'Dependencies unchanged (cached)'
  else
    rm -f "$metadata" "$layers/pruned-modules.toml"
    find node_modules -mindepth 1 -delete
    install_modules
    [[ ${plan[reusable]} == true ]] || key="$key:$(content_key node_modules)"
  fi
  printf '[types]\ncache = true\nlaunch = %s\n\n[metadata]\nkey = "%s"\n' "$launch" "$key" > "$metadata"
  [[ ${plan[install_dev]} == false ]] || build_and_prune "$key"
}

install_modules() {
  # Said outright, since NODE_ENV of the app's config would decide otherwise.
  local omit=(--include=dev)
  [[ ${plan[install_dev]} == true ]] || omit=(--omit=dev)
  case ${plan[manager]} in
    npm)
      if [[ -n ${plan[lockfile]} ]]; then
        say "Installing dependencies (npm ci, ${plan[lockfile]})"
        indented npm ci --prefer-offline "${omit[@]}" || fail 'npm ci failed. Does it work on your machine, from a fresh clone?'
      else
        say 'Installing dependencies (npm install)'
        detail 'Warning: no lockfile. Commit package-lock.json, so that every build installs the same versions.'
        indented npm install --no-package-lock --prefer-offline "${omit[@]}" || fail 'npm install failed.'
      fi
      ;;
    pnpm)
      provide_manager
      say 'Installing dependencies (pnpm install --frozen-lockfile)'
      omit=(--prod=false)
      [[ ${plan[install_dev]} == true ]] || omit=(--prod)
      indented pnpm install --frozen-lockfile --config.package-import-method=copy --config.confirm-modules-purge=false \
        --store-dir "$layers/npm-cache/pnpm" "${omit[@]}" || fail 'pnpm install failed.'
      ;;
    yarn) install_with_yarn ;;
  esac
}

install_with_yarn() {
  provide_manager
  if is_yarn_classic; then
    say 'Installing dependencies (yarn install --frozen-lockfile)'
    local omit=(--production=false)
    [[ ${plan[install_dev]} == true ]] || omit=(--production)
    indented yarn install --frozen-lockfile --non-interactive --cache-folder "$layers/npm-cache/yarn1" "${omit[@]}" ||
      fail 'yarn install failed.'
  else
    say 'Installing dependencies (yarn install --immutable)'
    indented yarn install --immutable || fail 'yarn install failed.'
  fi
}

is_yarn_classic() { [[ ${plan[manager_version]} == 1* || (-z ${plan[manager_version]} && ! -f .yarnrc.yml) ]]; }

# pnpm or yarn, as the layer `manager` that is there while building only. npm comes with the runtime.
provide_manager() {
  local layer=$layers/manager package=${plan[manager]} release=${plan[manager_version]}
  case $package in
    npm) return 0 ;;
    pnpm) release=${release:-10} ;;
    yarn)
      if is_yarn_classic; then
        release=${release:-1}
      else
        package=@yarnpkg/cli-dist release=${release:-4}
        # Yarn's own archive format would leave the dependencies outside of node_modules.
        export YARN_NODE_LINKER=node-modules YARN_GLOBAL_FOLDER=$layers/npm-cache/yarn YARN_ENABLE_TELEMETRY=0
        export YARN_INSTALL_STATE_PATH=$layers/npm-cache/yarn-install-state.gz
      fi
      ;;
  esac
  if ! grep -qsx "package = \"$package@$release\"" "$layers/manager.toml"; then
    detail "Installing $package@$release"
    rm -rf "$layer" "$layers/manager.toml"
    indented npm install --silent --global --prefix "$layer" "$package@$release" || fail "Cannot install $package@$release."
  fi
  printf '[types]\ncache = true\n\n[metadata]\npackage = "%s"\n' "$package@$release" > "$layers/manager.toml"
  [[ :$PATH: == *:$layer/bin:* ]] || export PATH=$layer/bin:$PATH
}

content_key() { # folder: changes whenever a file below it does; caches that tools keep there do not count
  (cd "$1" && find . -path ./.cache -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum | sha256sum | cut -c 1-64)
}

build_and_prune() { # key of the modules
  local key=$1 mark changed
  mark=$(mktemp)
  if [[ ${plan[has_build]} == true ]]; then
    provide_manager
    say "Building (${plan[manager]} run build)"
    NODE_ENV=${NODE_ENV:-production} indented "${plan[manager]}" run build || fail "The build script of package.json failed."
  fi
  # A build may write into its modules (code generators do): then the copy for launch is made anew.
  changed=$(find node_modules -path node_modules/.cache -prune -o -type f -newer "$mark" -print -quit)
  [[ -z $changed ]] || key="$key:$(content_key node_modules)"
  rm -f "$mark"
  local layer=$layers/pruned-modules metadata=$layers/pruned-modules.toml
  if ! grep -qsx "key = \"$key\"" "$metadata"; then
    detail 'Leaving out development dependencies'
    rm -rf "$layer" "$metadata"
    prune_into "$layer"
  fi
  printf '[types]\ncache = true\nlaunch = true\n\n[metadata]\nkey = "%s"\n' "$key" > "$metadata"
}

prune_into() { # folder: gets the modules that the app needs to run
  local scratch
  cp -a node_modules "$1"
  rm -rf "$1/.cache"
  # npm cannot prune what pnpm or yarn laid out, nor a workspace without its members.
  [[ ${plan[manager]} == npm && ${plan[workspace]} == false ]] || return 0
  scratch=$(mktemp -d "$layers/prune.XXXXXX")
  cp package.json "$scratch/"
  [[ -z ${plan[lockfile]} ]] || cp "${plan[lockfile]}" "$scratch/"
  [[ ! -f .npmrc ]] || cp .npmrc "$scratch/"
  mv "$1" "$scratch/node_modules"
  (cd "$scratch" && indented npm prune --omit=dev --ignore-scripts) || fail 'npm prune failed.'
  mkdir -p "$scratch/node_modules"
  mv "$scratch/node_modules" "$1"
  rm -rf "$scratch"
}

write_processes() {
  : > "$layers/launch.toml"
  [[ ${plan[start]} != '[]' ]] || return 0
  # A JSON list of plain strings is a TOML array too.
  printf '[[processes]]\ntype = "web"\ncommand = %s\ndefault = true\n' "${plan[start]}" > "$layers/launch.toml"
}
