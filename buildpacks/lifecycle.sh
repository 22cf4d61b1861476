#!/bin/bash
# Runs inside the sandbox container, as the unprivileged build user, in /workspace.
# Arguments: one group each, as "id id? …", where "?" marks an optional buildpack.
# Reports to the host through the files `group` and `events` in /layers/lifecycle; exit 20: no group detected.
set -u
readonly report=/layers/lifecycle
umask 022

event() { # name…, then the milliseconds since $started
  local now=${EPOCHREALTIME/[.,]/}
  printf '%s %d\n' "$*" $(((now - started) / 1000)) >> "$report/events"
}
begin() { started=${EPOCHREALTIME/[.,]/}; }

# Folders of the app that are layers are filled by their buildpack alone; what is committed there is not taken.
exclude=()
IFS=: read -ra folders <<< "${GANTRY_APP_FOLDERS-}"
for folder in "${folders[@]}"; do exclude+=("--exclude=$folder" "--exclude=./$folder"); done
unset GANTRY_APP_FOLDERS

begin
if ! tar --anchored --no-wildcards "${exclude[@]}" --extract --file=/cnb/input/source.tar --no-same-owner --no-same-permissions --directory=/workspace; then
  printf ' !     The source could not be unpacked.\n'
  event extract failed
  exit 21
fi
event extract

export CNB_PLATFORM_DIR=/platform CNB_STACK_ID=gantry.bookworm
detects() { # buildpack id
  export CNB_BUILDPACK_DIR=/cnb/buildpacks/$1 CNB_BUILD_PLAN_PATH=$report/$1.plan
  : > "$CNB_BUILD_PLAN_PATH"
  "$CNB_BUILDPACK_DIR/bin/detect" /platform "$CNB_BUILD_PLAN_PATH" < /dev/null > "$report/detect.log" 2>&1
  local code=$?
  if [[ $code != 0 && $code != 100 ]]; then
    printf ' !     %s/bin/detect ended with %d:\n' "$1" "$code"
    cat "$report/detect.log"
    event detect "$1" failed "$code"
    exit 22
  fi
  return "$code"
}

begin
chosen=()
for group in "$@"; do
  chosen=()
  for member in $group; do
    id=${member%\?}
    if detects "$id"; then
      chosen+=("$id")
    elif [[ $member != *\? ]]; then
      chosen=()
      break
    fi
  done
  ((${#chosen[@]} == 0)) || break
done
event detect
((${#chosen[@]} > 0)) || exit 20
printf '%s\n' "${chosen[@]}" > "$report/group"

for id in "${chosen[@]}"; do
  begin
  export CNB_BUILDPACK_DIR=/cnb/buildpacks/$id CNB_LAYERS_DIR=/layers/$id CNB_BP_PLAN_PATH=$report/$id.plan
  : > "$CNB_BP_PLAN_PATH"
  "$CNB_BUILDPACK_DIR/bin/build" "$CNB_LAYERS_DIR" /platform "$CNB_BP_PLAN_PATH" < /dev/null 2>&1
  code=$?
  if [[ $code != 0 ]]; then
    event build "$id" failed "$code"
    exit 23
  fi
  event build "$id"
done
