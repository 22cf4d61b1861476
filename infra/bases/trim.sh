#!/bin/sh
# Takes out what differs from run to run or is of no use in an image. $1: the root folder.
set -eu
root=$1
rm -rf "$root"/var/cache/apt "$root"/var/lib/apt/lists "$root"/var/log "$root"/etc/apt/sources.list.d
rm -f "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root"/var/cache/ldconfig/aux-cache
rm -f "$root"/etc/apt/sources.list "$root"/etc/machine-id "$root"/etc/.pwd.lock
rm -f "$root"/etc/passwd- "$root"/etc/group- "$root"/etc/shadow- "$root"/etc/gshadow-
rm -rf "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/info "$root"/usr/share/lintian
rm -rf "$root"/usr/share/zoneinfo/right "$root"/usr/share/zoneinfo/posix "$root"/tmp/* "$root"/var/tmp/*
mkdir -p "$root/var/log" "$root/var/lib/apt/lists" "$root/var/cache/apt"
# Every image has the same unprivileged user: what `config.User` 1000:1000 means.
grep -q '^gantry:' "$root/etc/group" || echo 'gantry:x:1000:' >> "$root/etc/group"
grep -q '^gantry:' "$root/etc/passwd" || echo 'gantry:x:1000:1000:Gantry app:/home/gantry:/bin/bash' >> "$root/etc/passwd"
mkdir -p "$root/home/gantry" "$root/workspace" "$root/layers" "$root/cnb" "$root/platform"
chown 1000:1000 "$root/home/gantry" "$root/workspace"
# The engine puts the container's own in their place.
: > "$root/etc/hostname"
: > "$root/etc/hosts"
: > "$root/etc/resolv.conf"
